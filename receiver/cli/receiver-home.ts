import type { Command } from 'commander';
import { homeAt, requireInitialised, type Home } from '../../shared/io/home.ts';

export const receiverProgram = 'mastokeep-receiver';
export const defaultReceiverHome = '/var/lib/mastokeep-receiver';

/** The home that the command line or the environment names; it need not exist. */
export function receiverHome(command: Command): Home {
  const { home } = command.optsWithGlobals<{ home?: string }>();
  return homeAt(home ?? process.env['MASTOKEEP_HOME'] ?? defaultReceiverHome, 'receiver.yaml');
}

/** @throws CodedError HOME_INVALID when `init` never ran there */
export function initialisedReceiverHome(command: Command): Home {
  const home = receiverHome(command);
  requireInitialised(home, receiverProgram);
  return home;
}
