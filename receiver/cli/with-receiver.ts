import type { Command } from 'commander';
import { withProgram, withRunningProgram, type ProgramAccess } from '../../shared/cli/with-program.ts';
import { remoteReceiverCommands, type ReceiverCommands } from '../receiver-commands.ts';
import { receiverProgram, initialisedReceiverHome } from './receiver-home.ts';

/** The two ways to the commands of a receiver. */
export const receiverAccess: ProgramAccess<ReceiverCommands> = {
  program: receiverProgram,
  remote: remoteReceiverCommands,
  offline: async (home) => {
    const { createOfflineReceiverCommands } = await import('../offline-receiver.ts');
    return createOfflineReceiverCommands(home);
  },
};

/** Runs a command in the running receiver or, where none runs, under the home's lock directly on its files. */
export async function withReceiver<Result>(
  command: Command,
  run: (commands: ReceiverCommands) => Promise<Result>,
): Promise<Result> {
  return withProgram(receiverAccess, initialisedReceiverHome(command), run);
}

/** Runs a command that only the running receiver can do. @throws CodedError NOT_RUNNING */
export async function withRunningReceiver<Result>(
  command: Command,
  run: (commands: ReceiverCommands) => Promise<Result>,
): Promise<Result> {
  return withRunningProgram(receiverAccess, initialisedReceiverHome(command), run);
}
