import fs from 'node:fs';
import path from 'node:path';
import { createOfflineReceiverCommands } from '../../receiver/offline-receiver.ts';
import type { ReceiverCommands } from '../../receiver/receiver-commands.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { homeAt } from '../../shared/io/home.ts';
import { receiverCopies } from './receiver-copies.ts';

/** Makes a receiver in `<scratch>/home` that does not run and holds these mirror folders, empty, in `<scratch>/data`. */
export async function makeStoppedReceiver(
  scratch: string,
  folders: readonly (readonly [agentId: DeviceId, folder: string])[],
): Promise<void> {
  const home = path.join(scratch, 'home');
  for (const directory of [home, path.join(scratch, 'data')]) fs.mkdirSync(directory);
  await createDeviceIdentity(home);
  fs.writeFileSync(path.join(home, 'receiver.yaml'), `data: ${path.join(scratch, 'data')}\n`);
  const copies = receiverCopies(scratch);
  for (const [agentId, folder] of folders) await copies.open(agentId, folder, 'mirror');
  await copies.close();
}

/** Has its commands do something, as a command line does where the receiver does not run. */
export async function whileStopped<Result>(
  scratch: string,
  run: (commands: ReceiverCommands) => Promise<Result>,
): Promise<Result> {
  const receiver = createOfflineReceiverCommands(homeAt(path.join(scratch, 'home'), 'receiver.yaml'));
  try {
    return await run(receiver.commands);
  } finally {
    await receiver.close();
  }
}
