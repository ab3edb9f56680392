import type { Command } from 'commander';
import { homeOf, initialisedHomeOf } from '../../shared/cli/program-home.ts';
import type { Home } from '../../shared/io/home.ts';

export const receiverProgram = 'mastokeep-receiver';
export const defaultReceiverHome = '/var/lib/mastokeep-receiver';

export const receiverProgramHome = {
  program: receiverProgram,
  configName: 'receiver.yaml',
  defaultHome: defaultReceiverHome,
};

/** The home that the command line or the environment names; it need not exist. */
export function receiverHome(command: Command): Home {
  return homeOf(command, receiverProgramHome);
}

/** @throws CodedError HOME_INVALID when `init` never ran there */
export function initialisedReceiverHome(command: Command): Home {
  return initialisedHomeOf(command, receiverProgramHome);
}
