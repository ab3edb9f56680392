import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { storeFixture, FeedFake } from '../support/store-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { Device, type ReceiverStatus } from '../support/device.ts';

const agentId = 'GU77MKD-5E7SBZF-CEQDU57-IAKI47O-VFV4WZM-EFFAQGA-SSHTHTJ-HMCYJQM';

let scratch: string;
let data: string;
let receiver: Device<ReceiverStatus>;

beforeEach(async () => {
  scratch = temporaryDirectory();
  data = path.join(scratch, 'data');
  receiver = new Device<ReceiverStatus>('receiver', path.join(scratch, 'home'));
  await receiver.must(['init', '--yes', '--listen', '127.0.0.1:0', '--data', data]);
});

afterEach(async () => {
  await receiver.kill().catch(() => {});
});

it('alarms where the journal or the database of a copy was damaged, until the next start finds it whole', async () => {
  const directory = path.join(data, agentId, 'media');
  const options = {
    directory,
    databasePath: path.join(receiver.home, 'db', agentId, 'media.db'),
    agentId,
    folderId: 'media',
  };
  const store = await storeFixture(scratch, {}, options).open();
  await new FeedFake(() => store).send({ a: 'content' });
  await store.close();
  const segment = path.join(directory, 'journal', '000001.journal');
  fs.writeFileSync(segment, fs.readFileSync(segment, 'utf8').replace('"path":"a"', '"path":"x"'));

  await receiver.start();
  expect((await receiver.status()).alarms).toMatchObject([
    { code: 'JOURNAL_DAMAGED', message: expect.stringContaining('folder media') as string },
  ]);
  expect(await receiver.stop()).toBe(0);
  await receiver.start();
  expect((await receiver.status()).alarms).toEqual([]);
  expect(await receiver.stop()).toBe(0);
  fs.truncateSync(options.databasePath, 5000);
  await receiver.start();
  expect((await receiver.status()).alarms).toMatchObject([
    { code: 'DATABASE_CORRUPT', message: expect.stringContaining('folder media') as string },
  ]);
  expect(await receiver.stop()).toBe(0);
  await receiver.start();
  expect((await receiver.status()).alarms).toEqual([]);
});
