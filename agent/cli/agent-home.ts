import type { Command } from 'commander';
import { homeAt, requireInitialised, type Home } from '../../shared/io/home.ts';

export const agentProgram = 'mastokeep-agent';
export const defaultAgentHome = '/var/lib/mastokeep-agent';

/** The home that the command line or the environment names; it need not exist. */
export function agentHome(command: Command): Home {
  const { home } = command.optsWithGlobals<{ home?: string }>();
  return homeAt(home ?? process.env['MASTOKEEP_HOME'] ?? defaultAgentHome, 'agent.yaml');
}

/** @throws CodedError HOME_INVALID when `init` never ran there */
export function initialisedAgentHome(command: Command): Home {
  const home = agentHome(command);
  requireInitialised(home, agentProgram);
  return home;
}
