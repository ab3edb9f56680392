import { lockHome } from '../io/home-lock.ts';
import type { Home } from '../io/home.ts';
import { createLogger, type Logger } from '../io/logger.ts';
import { takeInterrupts } from './run-program.ts';

/** A program that runs until it is stopped. */
export type Daemon = {
  /** Finishes what is under way and gives everything back. */
  stop(): Promise<void>;
  /** Resolves when it cannot go on; it is stopped then and the process ends with that error. */
  readonly failed: Promise<Error>;
};

/** How long a start waits for a short command that holds the home. */
const lockPatienceMs = 1500;
const stopAfterFailureMs = 10_000;

/**
 * Runs a daemon on its home until SIGTERM or SIGINT; resolves when it has stopped in order. A second signal ends the
 * process at once. A defect anywhere ends the process too: nothing goes on half alive.
 * @throws CodedError ALREADY_RUNNING, what `start` throws, why the daemon failed
 */
export async function runDaemon(
  home: Home,
  program: string,
  start: (logger: Logger) => Promise<Daemon>,
): Promise<void> {
  const lock = lockHome(home, program, lockPatienceMs);
  const stop = new Promise<void>((resolve) => takeInterrupts(resolve));
  const logger = createLogger();
  process.on('uncaughtException', (error) => {
    logger.error({ code: 'INTERNAL', err: error }, 'a defect ends the program');
    process.exit(1);
  });
  const daemon = await start(logger);
  const failure = await Promise.race([stop, daemon.failed]);
  if (failure !== undefined) {
    logger.error({ err: failure }, 'the program cannot go on and ends');
    setTimeout(() => process.exit(1), stopAfterFailureMs).unref();
  }
  await daemon.stop();
  lock.release();
  if (failure !== undefined) throw failure;
}
