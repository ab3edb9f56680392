import fs from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { createOfflineReceiverCommands } from '../../receiver/offline-receiver.ts';
import type { ReceiverCommands } from '../../receiver/receiver-commands.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { homeAt } from '../../shared/io/home.ts';
import { receiverCopies } from '../support/receiver-copies.ts';
import { sealedAgentId } from '../support/sealed-store-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folders = ['dumps', 'media'];
let scratch: string;

/** A receiver that does not run, and that held two folders of an agent. */
beforeEach(async () => {
  scratch = temporaryDirectory();
  const home = path.join(scratch, 'home');
  for (const directory of [home, path.join(scratch, 'data')]) fs.mkdirSync(directory);
  await createDeviceIdentity(home);
  fs.writeFileSync(path.join(home, 'receiver.yaml'), `data: ${path.join(scratch, 'data')}\n`);
  const copies = receiverCopies(scratch);
  for (const folder of folders) await copies.open(sealedAgentId, folder, 'mirror');
  await copies.close();
});

async function offline<Result>(run: (commands: ReceiverCommands) => Promise<Result>): Promise<Result> {
  const receiver = createOfflineReceiverCommands(homeAt(path.join(scratch, 'home'), 'receiver.yaml'));
  try {
    return await run(receiver.commands);
  } finally {
    await receiver.close();
  }
}

it.each([
  ['one folder', folders.slice(1)],
  ['everything', folders],
])('begins what is gone from the disk anew, as the error says that it does: %s', async (_, gone) => {
  for (const folder of gone)
    fs.rmSync(path.join(scratch, 'data', sealedAgentId, folder), { recursive: true });
  await expect(offline(async (commands) => commands.points({ agent: null }))).rejects.toMatchObject({
    code: 'DISK_FAILED',
    hint: expect.stringContaining('"reindex" begins') as string,
  });
  const done = await offline(async (commands) => commands.reindex({}));
  expect(done.folders.map(({ id }) => id).sort()).toEqual(folders);
  expect(await offline(async (commands) => commands.points({ agent: null }))).toEqual({
    points: [],
    damaged: [],
  });
});

it('says what is wrong with a folder that is there and cannot be opened', async () => {
  fs.rmSync(path.join(scratch, 'data', sealedAgentId, 'media', 'current'), { recursive: true });
  fs.writeFileSync(path.join(scratch, 'data', sealedAgentId, 'media', 'current'), '');
  await expect(offline(async (commands) => commands.reindex({}))).rejects.toMatchObject({
    code: 'HOME_INVALID',
  });
});
