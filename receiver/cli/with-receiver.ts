import type { Command } from 'commander';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { findProgram } from '../../shared/io/control-client.ts';
import { becomeHomeOwner, type Home } from '../../shared/io/home.ts';
import { remoteReceiverCommands, type ReceiverCommands } from '../receiver-commands.ts';
import { initialisedReceiverHome, receiverProgram } from './receiver-home.ts';

/** Runs a command in the running receiver or, where none runs, under the home's lock directly on its files. */
export async function withReceiver<Result>(
  command: Command,
  run: (commands: ReceiverCommands, home: Home) => Promise<Result>,
): Promise<Result> {
  const home = initialisedReceiverHome(command);
  becomeHomeOwner(home);
  const lock = await findProgram(home, receiverProgram);
  if (lock === null) return run(remoteReceiverCommands(home), home);
  try {
    const { createOfflineReceiverCommands } = await import('../offline-receiver.ts');
    const offline = createOfflineReceiverCommands(home);
    try {
      return await run(offline.commands, home);
    } finally {
      await offline.close();
    }
  } finally {
    lock.release();
  }
}

/** Runs a command that only the running receiver can do. @throws CodedError NOT_RUNNING */
export async function withRunningReceiver<Result>(
  command: Command,
  run: (commands: ReceiverCommands, home: Home) => Promise<Result>,
): Promise<Result> {
  const home = initialisedReceiverHome(command);
  becomeHomeOwner(home);
  const lock = await findProgram(home, receiverProgram);
  if (lock === null) return run(remoteReceiverCommands(home), home);
  lock.release();
  throw new CodedError('NOT_RUNNING', `no ${receiverProgram} runs on ${home.directory}`, {
    hint: `start it with "systemctl start ${receiverProgram}", or "${receiverProgram} --home ${home.directory} run"`,
  });
}
