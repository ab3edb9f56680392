import type { Command } from 'commander';
import { homeOf, initialisedHomeOf } from '../../shared/cli/program-home.ts';
import type { Home } from '../../shared/io/home.ts';

export const agentProgram = 'mastokeep-agent';
export const defaultAgentHome = '/var/lib/mastokeep-agent';

export const agentProgramHome = {
  program: agentProgram,
  configName: 'agent.yaml',
  defaultHome: defaultAgentHome,
};

/** The home that the command line or the environment names; it need not exist. */
export function agentHome(command: Command): Home {
  return homeOf(command, agentProgramHome);
}

/** @throws CodedError HOME_INVALID when `init` never ran there */
export function initialisedAgentHome(command: Command): Home {
  return initialisedHomeOf(command, agentProgramHome);
}
