import type { Command } from 'commander';
import { withProgram, withRunningProgram, type ProgramAccess } from '../../shared/cli/with-program.ts';
import { remoteAgentCommands, type AgentCommands } from '../agent-commands.ts';
import { agentProgram, initialisedAgentHome } from './agent-home.ts';

/** The two ways to the commands of an agent. */
export const agentAccess: ProgramAccess<AgentCommands> = {
  program: agentProgram,
  remote: remoteAgentCommands,
  offline: async (home) => {
    const { createOfflineAgentCommands } = await import('../offline-agent.ts');
    return { commands: createOfflineAgentCommands(home), close: async () => {} };
  },
};

/** Runs a command in the running agent or, where none runs, under the home's lock directly on its files. */
export async function withAgent<Result>(
  command: Command,
  run: (commands: AgentCommands) => Promise<Result>,
): Promise<Result> {
  return withProgram(agentAccess, initialisedAgentHome(command), run);
}

/** Runs a command that only the running agent can do. @throws CodedError NOT_RUNNING */
export async function withRunningAgent<Result>(
  command: Command,
  run: (commands: AgentCommands) => Promise<Result>,
): Promise<Result> {
  return withRunningProgram(agentAccess, initialisedAgentHome(command), run);
}
