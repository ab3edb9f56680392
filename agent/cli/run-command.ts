import type { Command } from 'commander';
import { runDaemon } from '../../shared/cli/run-daemon.ts';
import { initialisedAgentHome, agentProgram } from './agent-home.ts';

/** `run`: the daemon, in the foreground, until SIGTERM or SIGINT. */
export function addRunCommand(program: Command): void {
  program
    .command('run')
    .description('replicate until stopped (in the foreground)')
    .action(async (_options: object, command: Command) => {
      const home = initialisedAgentHome(command);
      await runDaemon(home, agentProgram, async (logger, life) => {
        const { startAgent } = await import('../agent.ts');
        return startAgent(home, logger, life);
      });
    });
}
