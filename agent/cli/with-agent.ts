import type { Command } from 'commander';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { findProgram } from '../../shared/io/control-client.ts';
import { becomeHomeOwner, type Home } from '../../shared/io/home.ts';
import { remoteAgentCommands, type AgentCommands } from '../agent-commands.ts';
import { agentProgram, initialisedAgentHome } from './agent-home.ts';

/** Runs a command in the running agent or, where none runs, under the home's lock directly on its files. */
export async function withAgent<Result>(
  command: Command,
  run: (commands: AgentCommands, home: Home) => Promise<Result>,
): Promise<Result> {
  const home = initialisedAgentHome(command);
  becomeHomeOwner(home);
  const lock = await findProgram(home, agentProgram);
  if (lock === null) return run(remoteAgentCommands(home), home);
  try {
    const { createOfflineAgentCommands } = await import('../offline-agent.ts');
    return await run(createOfflineAgentCommands(home), home);
  } finally {
    lock.release();
  }
}

/** Runs a command that only the running agent can do. @throws CodedError NOT_RUNNING */
export async function withRunningAgent<Result>(
  command: Command,
  run: (commands: AgentCommands, home: Home) => Promise<Result>,
): Promise<Result> {
  const home = initialisedAgentHome(command);
  becomeHomeOwner(home);
  const lock = await findProgram(home, agentProgram);
  if (lock === null) return run(remoteAgentCommands(home), home);
  lock.release();
  throw new CodedError('NOT_RUNNING', `no ${agentProgram} runs on ${home.directory}`, {
    hint: `start it with "systemctl start ${agentProgram}", or "${agentProgram} --home ${home.directory} run"`,
  });
}
