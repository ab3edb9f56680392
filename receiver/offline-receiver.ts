import type { Home } from '../shared/io/home.ts';
import type { ReceiverCommands } from './receiver-commands.ts';
export function createOfflineReceiverCommands(_home: Home): ReceiverCommands {
  throw new Error('x');
}
