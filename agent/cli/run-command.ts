import type { Command } from 'commander';
import { takeInterrupts } from '../../shared/cli/run-program.ts';
import { lockHome } from '../../shared/io/home-lock.ts';
import { createLogger } from '../../shared/io/logger.ts';
import { agentProgram, initialisedAgentHome } from './agent-home.ts';

/** How long a start waits for a short command that holds the home. */
const lockPatienceMs = 1500;
const stopAfterFailureMs = 10_000;

/** `run`: the daemon, in the foreground, until SIGTERM or SIGINT. */
export function addRunCommand(program: Command): void {
  program
    .command('run')
    .description('replicate until stopped (in the foreground)')
    .action(async (_options: object, command: Command) => {
      const home = initialisedAgentHome(command);
      const lock = lockHome(home, agentProgram, lockPatienceMs);
      const stop = new Promise<void>((resolve) => takeInterrupts(resolve));
      const { startAgent } = await import('../agent.ts');
      const logger = createLogger();
      const agent = await startAgent(home, logger);
      const failure = await Promise.race([stop, agent.failed]);
      if (failure !== undefined) {
        logger.error({ err: failure }, 'it cannot go on and ends');
        // A part that failed must not keep the process half alive.
        setTimeout(() => process.exit(1), stopAfterFailureMs).unref();
      }
      await agent.stop();
      lock.release();
      if (failure !== undefined) throw failure;
    });
}
