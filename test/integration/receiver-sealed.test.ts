import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AgentKey } from '../../receiver/store/agent-key.ts';
import { restoreByHandText } from '../../shared/sealing/restore-by-hand.ts';
import { Device, type ReceiverStatus } from '../support/device.ts';
import {
  agentPublicKey,
  packObject,
  sealedAgentId,
  SealedFeedFake,
  sealedStoreFixture,
  versionObjects,
} from '../support/sealed-store-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const dayMs = 86_400_000;
const [ann, bob] = ['AAAAAAAAAAAAAAAA', 'BBBBBBBBBBBBBBBB'];
const [epochA, epochB] = ['00000000000000aa', '00000000000000bb'];
const [root, a, b, lost] = [packObject('root'), packObject('a'), packObject('b'), packObject('lost')];
const first = versionObjects(1, [root, a], { recipients: [ann], epoch: epochA });
const second = versionObjects(2, [b, lost], { recipients: [ann, bob], epoch: epochB, previous: first.hash });

let scratch: string;
let receiver: Device<ReceiverStatus>;

beforeEach(async () => {
  scratch = temporaryDirectory();
  receiver = new Device<ReceiverStatus>('receiver', path.join(scratch, 'home'));
  await receiver.must(['init', '--yes', '--listen', '127.0.0.1:0', '--data', path.join(scratch, 'data')]);
});

afterEach(async () => {
  await receiver.kill().catch(() => {});
});

/** What the receiver holds before it starts: two versions, the second for one more recipient and without a pack. */
async function holdTwoVersions(receivedAt: number): Promise<void> {
  let now = receivedAt;
  const agentDirectory = path.join(scratch, 'data', sealedAgentId);
  const { open } = sealedStoreFixture(
    scratch,
    { now: () => now },
    { databasePath: path.join(receiver.home, 'db', sealedAgentId, 'database.db') },
  );
  const store = await open();
  const feed = new SealedFeedFake(() => store);
  await feed.send([root, a, first.json, first.signature]);
  now += 60_000;
  await feed.send([b, second.json, second.signature], { gone: [lost] });
  await store.close();
  const key = new AgentKey(sealedAgentId, { directory: agentDirectory });
  key.learn(agentPublicKey.export({ type: 'spki', format: 'der' }));
}

it('has RESTORE.txt in its data directory from init on, and puts it right at each start', async () => {
  const text = path.join(scratch, 'data', 'RESTORE.txt');
  expect(fs.readFileSync(text, 'utf8')).toBe(restoreByHandText);
  fs.writeFileSync(text, 'of an earlier version');
  await receiver.start();
  expect(fs.readFileSync(text, 'utf8')).toBe(restoreByHandText);
});

it('lists the versions of a sealed folder, newest first, running or not', async () => {
  const receivedAt = Date.now() - 10 * dayMs;
  await holdTwoVersions(receivedAt);
  const size = root.content.length + a.content.length;
  const listed = {
    agent: sealedAgentId,
    folder: 'database',
    kind: 'sealed',
    path: null,
    versions: [
      {
        number: 2,
        epoch: epochB,
        createdAt: '2026-11-21T08:40:00.000Z',
        receivedAt: new Date(receivedAt + 60_000).toISOString(),
        packs: 2,
        bytes: b.content.length + lost.content.length,
        recipients: [ann, bob],
        complete: false,
      },
      {
        number: 1,
        epoch: epochA,
        createdAt: '2026-11-21T08:40:00.000Z',
        receivedAt: new Date(receivedAt + 1).toISOString(),
        packs: 2,
        bytes: size,
        recipients: [ann],
        complete: true,
      },
    ],
  };
  expect(JSON.parse(await receiver.must(['versions', 'database', '--json']))).toEqual(listed);
  await receiver.start();
  expect(JSON.parse(await receiver.must(['versions', 'database', '--json']))).toEqual(listed);
  const [head, ...rows] = (await receiver.must(['versions', 'database'])).trimEnd().split('\n');
  expect(head).toMatch(/^VERSION +MADE +RECEIVED +PACKS +SIZE +EPOCH +READABLE WITH +COMPLETE$/);
  const shown = (number: number, received: number, rest: string): unknown => {
    const at = new Date(received).toISOString().replace(/\.\d+Z$/, 'Z');
    const times = String.raw`2026-11-21T08:40:00Z \(.*\) +${at} \(.*\)`;
    return expect.stringMatching(new RegExp(String.raw`^${number} +${times} +2 +\d+ B +${rest}$`));
  };
  expect(rows).toEqual([
    shown(2, receivedAt + 60_000, '0{14}bb +A{16} B{16} +no: packs are missing'),
    shown(1, receivedAt + 1, '0{14}aa +A{16} +yes'),
  ]);
  const wrong = await receiver.run(['versions', 'database', 'dump']);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain('leave the path out');
  const unknown = await receiver.run(['versions', 'secrets']);
  expect(unknown.code).toBe(2);
  expect(unknown.stderr).toContain('there is database');
});

it('says who can read a sealed folder, and alarms and freezes when that changed, over restarts and a reindex, until release', async () => {
  const receivedAt = Date.now() - dayMs;
  await holdTwoVersions(receivedAt);
  const changed = {
    keyIds: [ann, bob],
    changes: [
      {
        at: new Date(receivedAt + 60_000).toISOString(),
        number: 2,
        epoch: epochB,
        added: [bob],
        removed: [],
      },
    ],
  };
  const expectTold = async (): Promise<void> => {
    const { agents, alarms } = await receiver.status();
    expect(agents[0]?.folders[0]).toMatchObject({ id: 'database', recipients: changed });
    expect(agents[0]).toMatchObject({
      frozen: true,
      freezes: [{ folder: 'database', code: 'RECIPIENTS_CHANGED' }],
    });
    expect(alarms).toMatchObject([
      { code: 'RECIPIENTS_CHANGED', message: expect.stringContaining(`${bob} came`) as string },
    ]);
  };
  await receiver.start();
  await expectTold();
  await receiver.must(['reindex']);
  await expectTold();
  expect(await receiver.stop()).toBe(0);
  await receiver.start();
  await expectTold();
  const shown = await receiver.must(['status']);
  expect(shown).toContain(`changed 24 hours ago with version 2: +${bob}`);
  expect(shown).toContain('mastokeep-receiver release --agent');
  const released = await receiver.must(['release']);
  expect(released).toContain(
    `RECIPIENTS_CHANGED: folder database is sealed to other keys since version 2: ${bob} came`,
  );
  expect(await receiver.status()).toMatchObject({ alarms: [], agents: [{ frozen: false, freezes: [] }] });
  expect(await receiver.must(['release'])).toBe('no agent is frozen\n');
  expect(await receiver.must(['release', '--agent', sealedAgentId])).toContain('is not frozen');
  expect(await receiver.stop()).toBe(0);
  expect(JSON.parse(await receiver.must(['release', '--json']))).toMatchObject({ agent: null, released: [] });
  await receiver.start();
  expect((await receiver.status()).alarms).toEqual([]);
});
