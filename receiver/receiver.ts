import type { Home } from '../shared/io/home.ts';
import type { Logger } from '../shared/io/logger.ts';
export async function startReceiver(
  _home: Home,
  _logger: Logger,
): Promise<{ stop(): Promise<void>; failed: Promise<Error> }> {
  throw new Error('x');
}
