import type { Command } from 'commander';
import { runDaemon } from '../../shared/cli/run-daemon.ts';
import { initialisedReceiverHome, receiverProgram } from './receiver-home.ts';

/** `run`: the daemon, in the foreground, until SIGTERM or SIGINT. */
export function addRunCommand(program: Command): void {
  program
    .command('run')
    .description('receive until stopped (in the foreground)')
    .action(async (_options: object, command: Command) => {
      const home = initialisedReceiverHome(command);
      await runDaemon(home, receiverProgram, async (logger, life) => {
        const { startReceiver } = await import('../receiver.ts');
        return startReceiver(home, logger, life);
      });
    });
}
