import { lockHome } from '../io/home-lock.ts';
import type { Home } from '../io/home.ts';
import { giveBackIdleMemory } from '../io/idle-memory.ts';
import { createLogger, type Logger } from '../io/logger.ts';
import { takeInterrupts } from './run-program.ts';

/** A program that runs until it is stopped. */
export type Daemon = {
  /** Finishes what is under way and gives everything back. */
  stop(): Promise<void>;
  /** Resolves when it cannot go on; it is stopped then and the process ends with that error. */
  readonly failed: Promise<Error>;
};

/** One life of a daemon, from its start to its stop; `reload` ends it and begins the next one in the same process. */
export type DaemonLife = { readonly number: number; reload(): void };

/** How long a start waits for a short command that holds the home. */
const lockPatienceMs = 1500;
const stopAfterFailureMs = 10_000;

/**
 * Runs a daemon on its home until SIGTERM or SIGINT; resolves when it has stopped in order. A second signal ends the
 * process at once. A defect anywhere ends the process too: nothing goes on half alive. After a reload everything begins
 * anew, with the configuration as it is then; where that cannot start, the process ends as at a first start.
 * @throws CodedError ALREADY_RUNNING, what `start` throws, why the daemon failed
 */
export async function runDaemon(
  home: Home,
  program: string,
  start: (logger: Logger, life: DaemonLife) => Promise<Daemon>,
): Promise<void> {
  const lock = lockHome(home, program, lockPatienceMs);
  const stop = new Promise<'stop'>((resolve) => takeInterrupts(() => resolve('stop')));
  const logger = createLogger();
  giveBackIdleMemory();
  process.on('uncaughtException', (error) => {
    logger.error({ code: 'INTERNAL', err: error }, 'a defect ends the program');
    process.exit(1);
  });
  let outcome: Outcome = 'reload';
  for (let number = 1; outcome === 'reload'; number += 1) {
    const { promise: reloaded, resolve } = Promise.withResolvers<'reload'>();
    // Whoever asked for it gets an answer first.
    const reload = (): void => void setImmediate(() => resolve('reload'));
    const daemon = await start(logger, { number, reload });
    outcome = await Promise.race([stop, daemon.failed, reloaded]);
    if (outcome instanceof Error) {
      logger.error({ err: outcome }, 'the program cannot go on and ends');
      setTimeout(() => process.exit(1), stopAfterFailureMs).unref();
    }
    await daemon.stop();
  }
  lock.release();
  if (outcome instanceof Error) throw outcome;
}

/** Why a life of a daemon ended. */
type Outcome = 'stop' | 'reload' | Error;
