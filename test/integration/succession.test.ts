import { spawnSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { AgentCopies } from '../../receiver/agent-copies.ts';
import { PointBooks } from '../../receiver/point-books.ts';
import { succeedDevice } from '../../receiver/succeed-device.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { crashPoints } from '../../shared/io/crash-point.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { PeerBook } from '../../shared/link/peer-book.ts';
import { PointSigner } from '../support/point-fixture.ts';
import { receiverCopies } from '../support/receiver-copies.ts';
import {
  epochB,
  packObject,
  SealedFeedFake,
  versionObjects,
  type RecordFields,
} from '../support/sealed-store-fixture.ts';
import { FeedFake, indexA, indexB } from '../support/store-fixture.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const [old, next, third] = [new PointSigner(), new PointSigner(), new PointSigner()];
const receiverItself = new PointSigner();
const child = new URL('../support/succession-crash-child.ts', import.meta.url).pathname;

let scratch: string;
let copies: AgentCopies;
let books: PointBooks;
let book: PeerBook;
let connected: DeviceId[];

beforeEach(async () => {
  scratch = memoryDirectory();
  connected = [];
  fs.mkdirSync(path.join(scratch, 'data'));
  fs.mkdirSync(path.join(scratch, 'home'));
  await open();
});
afterEach(async () => {
  await close();
  fs.rmSync(scratch, { recursive: true });
});

async function open(): Promise<void> {
  copies = receiverCopies(scratch);
  expect(await copies.openAll()).toEqual([]);
  const clocks = { retentionNow: Date.now, now: Date.now, steadyNow: Date.now };
  const dataDirectory = path.join(scratch, 'data');
  books = new PointBooks({ copies, dataDirectory, disk: nodeDisk, logger: silentLogger, ...clocks });
  book = PeerBook.open({ file: path.join(scratch, 'home', 'peers.json'), self: 'receiver' });
}

async function close(): Promise<void> {
  await books.close();
  await copies.close();
}

async function reopen({ losing = false } = {}): Promise<void> {
  await close();
  if (losing) fs.rmSync(path.join(scratch, 'home', 'db'), { recursive: true });
  await open();
}

const spki = (signer: PointSigner): Buffer => signer.publicKey.export({ type: 'spki', format: 'der' });

async function succeed(from: string, to: string): Promise<Awaited<ReturnType<typeof succeedDevice>>> {
  return succeedDevice(
    {
      copies,
      book,
      dataDirectory: path.join(scratch, 'data'),
      self: receiverItself.agent,
      isConnected: (deviceId) => connected.includes(deviceId),
      withoutSession: async (agentId, action) => {
        connected = connected.filter((deviceId) => copies.successions.homeOf(deviceId) !== agentId);
        return action();
      },
      now: () => Date.now(),
    },
    { old: from, next: to },
  );
}

const home = (): DeviceId => old.agent;
const media = async (): Promise<MirrorStore> => (await copies.open(home(), 'media', 'mirror')) as MirrorStore;
const database = async (): Promise<SealedStore> =>
  (await copies.open(home(), 'database', 'sealed')) as SealedStore;

async function takeVersion(
  signer: PointSigner,
  number: number,
  fields: RecordFields,
  feed: { sequence: number; indexId: Buffer },
): Promise<void> {
  const store = await database();
  const dumps = new SealedFeedFake(() => store);
  Object.assign(dumps, feed);
  const packs = [packObject(`root ${fields.epoch} ${number}`), packObject(`${number}`)];
  const { json, signature } = versionObjects(number, packs, {
    agent: signer.agent,
    key: signer.privateKey,
    ...fields,
  });
  await dumps.send([...packs, json, signature]);
  feed.sequence = dumps.sequence;
}

/** What the lost server left: a file, a version of it, a dump, a point. */
async function leaveHistory(): Promise<void> {
  copies.learnKey(home(), spki(old));
  const store = await media();
  const feed = new FeedFake(() => store);
  await feed.send({ picture: 'old', avatar: 'face' });
  await feed.send({ picture: 'new' });
  await feed.complete();
  await takeVersion(old, 1, {}, { sequence: 0, indexId: indexA });
  const { record, signature } = old.point(1, {
    folders: [{ id: 'media', kind: 'mirror', index: indexA.toString('hex'), from: 2, to: 2 }],
  });
  expect(await books.take(home(), record, signature)).toEqual({ held: true, code: null });
}

const versions = async (): Promise<[string, number, boolean][]> =>
  (await database()).listVersions().map(({ epoch, number, complete }) => [epoch, number, complete]);

it('lets the new device go on: nothing is asked for again, old and new records count, each by its own signer', async () => {
  await leaveHistory();
  expect(await succeed(old.agent.slice(0, 10), next.agent)).toEqual({
    old: old.agent,
    new: next.agent,
    folders: ['database', 'media'],
    already: false,
  });
  copies.learnKey(home(), spki(next));
  const store = await media();
  const feed = new FeedFake(() => store, indexB);
  // whole contents are never staged: all of it is held
  const held = { picture: 'new', avatar: 'face' };
  for (const name of Object.keys(held)) expect(store.current(name as never)).not.toBeNull();
  await feed.send(held);
  await feed.complete();
  expect(store.usage()).toMatchObject({ files: 2, versions: 1 });
  const dumps = { sequence: 0, indexId: indexB };
  await takeVersion(next, 1, { epoch: epochB }, dumps);
  const point = next.point(1);
  expect(await books.take(home(), point.record, point.signature)).toEqual({ held: true, code: null });
  for (const losing of [false, true]) {
    await reopen({ losing });
    expect(await versions()).toEqual([
      ['00000000000000aa', 1, true],
      [epochB, 1, true],
    ]);
    expect((await books.list(home())).map(({ record }) => record.agent).sort()).toEqual(
      [old.agent, next.agent].sort(),
    );
    const [first] = await books.list(home());
    expect(first?.proof.complete).toBe(true);
    expect(copies.successions.currentOf(home())).toBe(next.agent);
    expect([copies.successions.homeOf(next.agent), copies.successions.successorOf(old.agent)]).toEqual([
      home(),
      next.agent,
    ]);
  }
});

it('takes nothing that the old key signs any more', async () => {
  await leaveHistory();
  await succeed(old.agent, next.agent);
  copies.learnKey(home(), spki(next));
  await takeVersion(old, 2, { epoch: epochB }, { sequence: 0, indexId: indexB });
  const late = old.point(9);
  expect(await books.take(home(), late.record, late.signature)).toEqual({
    held: false,
    code: 'RECORD_FORGED',
  });
  expect(await versions()).toEqual([['00000000000000aa', 1, true]]);
});

it('lists the keys of both beside the objects of a sealed folder, as they lie on the disk', async () => {
  await leaveHistory();
  await succeed(old.agent, next.agent);
  copies.learnKey(home(), spki(next));
  const store = await database();
  const { entries } = store.entriesAt({ at: null, after: null, limit: 100 });
  const names = [`agent-${next.agent}.pem`, 'agent.pem'];
  expect(entries.slice(0, 2).map(({ path }) => path)).toEqual(names);
  const paged = store.entriesAt({ at: null, after: null, limit: 1 });
  expect(paged).toMatchObject({ entries: [{ path: names[0] }], next: names[0] });
  expect(store.entriesAt({ at: null, after: paged.next, limit: 1 })).toMatchObject({
    entries: [{ path: names[1] }],
    next: names[1],
  });
  expect(store.entriesAt({ at: null, after: names[1] as never, limit: 1 }).entries[0]?.path).toMatch(
    /^packs\//,
  );
  const file = fs.readFileSync(path.join(scratch, 'data', old.agent, names[0] ?? ''));
  expect(createPublicKey(file).equals(next.publicKey)).toBe(true);
});

it('says the same again for ever, also where a kill came in between', async () => {
  await leaveHistory();
  // a link without a folder left its key
  copies.learnKey(next.agent, spki(next));
  book.pair({ deviceId: old.agent, grant: { role: 'replica' }, addresses: ['192.0.2.1:22390'] });
  await close();
  fs.cpSync(scratch, `${scratch}-copy`, { recursive: true });
  for (const crashPoint of crashPoints.filter((name) => name.startsWith('succession.'))) {
    fs.rmSync(scratch, { recursive: true });
    fs.cpSync(`${scratch}-copy`, scratch, { recursive: true });
    const run = spawnSync(process.execPath, [child, scratch, old.agent, next.agent], {
      env: { ...process.env, MASTOKEEP_CRASH_AT: `${crashPoint}:1` },
      encoding: 'utf8',
    });
    expect([run.stderr, run.signal], crashPoint).toEqual(['', 'SIGKILL']);
    await open();
    const isDone = copies.successions.successorOf(old.agent) !== null;
    expect(isDone).toBe(crashPoint !== 'succession.key-adopted');
    expect(await succeed(old.agent, next.agent)).toMatchObject({ already: isDone });
    expect(await succeed(old.agent, next.agent)).toMatchObject({ already: true });
    expect(copies.agentKey(home())?.equals(next.publicKey)).toBe(true);
    expect(copies.signersOf(home()).map(({ deviceId }) => deviceId)).toEqual([old.agent, next.agent]);
    expect(fs.existsSync(path.join(scratch, 'data', next.agent))).toBe(false);
    expect(book.get(old.agent)?.addresses).toEqual([]);
    expect(await versions()).toHaveLength(1);
    await close();
  }
  fs.rmSync(`${scratch}-copy`, { recursive: true });
  await open();
});

it.each<[string, (ids: { old: string; next: string }) => Promise<void>, string]>([
  [
    'an old device that is connected',
    async (ids) => void connected.push(ids.old as DeviceId),
    'is connected',
  ],
  [
    'a new device with data of its own',
    async (ids) => void (await copies.open(ids.next as DeviceId, 'media', 'mirror')),
    'data of its own',
  ],
  [
    'an old device that another one succeeds',
    async (ids) => void (await succeed(ids.old, third.agent)),
    'already',
  ],
])('refuses %s, says why, and changes nothing', async (_, arrange, said) => {
  await leaveHistory();
  const ids = { old: old.agent, next: next.agent };
  await arrange(ids);
  const file = path.join(scratch, 'data', old.agent, 'succession.json');
  const before = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : null;
  await expect(succeed(ids.old, ids.next)).rejects.toMatchObject({
    code: 'SUCCESSION_REFUSED',
    message: expect.stringContaining(said) as string,
  });
  expect(fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : null).toBe(before);
});

it('refuses a device that is unknown, itself, or without data', async () => {
  await leaveHistory();
  await expect(succeed('AAAAAAA', next.agent)).rejects.toMatchObject({ code: 'DEVICE_UNKNOWN' });
  await expect(succeed(old.agent, receiverItself.agent)).rejects.toMatchObject({
    code: 'SUCCESSION_REFUSED',
    message: expect.stringContaining('is this receiver') as string,
  });
  await expect(succeed(old.agent, old.agent)).rejects.toMatchObject({ code: 'SUCCESSION_REFUSED' });
  book.pair({ deviceId: third.agent, grant: { role: 'replica' }, addresses: [] });
  await expect(succeed(third.agent, next.agent)).rejects.toMatchObject({ code: 'SUCCESSION_REFUSED' });
  await expect(succeed(old.agent, next.agent.slice(0, 9))).rejects.toMatchObject({
    code: 'DEVICE_ID_INVALID',
  });
});

it('hands on from one rebuilt server to the next, and back to one that was not lost after all', async () => {
  await leaveHistory();
  await succeed(old.agent, next.agent);
  copies.learnKey(home(), spki(next));
  await takeVersion(next, 1, { epoch: epochB }, { sequence: 0, indexId: indexB });
  await succeed(next.agent, third.agent);
  expect(copies.successions.devicesOf(home())).toEqual([old.agent, next.agent, third.agent]);
  expect(copies.successions.successorOf(next.agent)).toBe(third.agent);
  await reopen({ losing: true });
  expect(await versions()).toHaveLength(2);
  // the third one never came: the old one stands in its place
  await succeed(third.agent, old.agent);
  expect(copies.successions.devicesOf(home())).toEqual([old.agent, next.agent, old.agent]);
  expect(copies.successions.successorOf(old.agent)).toBeNull();
  await reopen({ losing: true });
  expect(await versions()).toHaveLength(2);
});

it('does not hand back what a device that is connected goes on with', async () => {
  await leaveHistory();
  await succeed(old.agent, next.agent);
  connected = [next.agent];
  await expect(succeed(next.agent, old.agent)).rejects.toMatchObject({ code: 'SUCCESSION_REFUSED' });
  expect(connected).toEqual([next.agent]);
  connected = [];
  expect(await succeed(next.agent, old.agent)).toMatchObject({ already: false });
});

it('goes by what it knows, or by a second copy, while the file is damaged or gone, and a scrub writes it again', async () => {
  await leaveHistory();
  await succeed(old.agent, next.agent);
  await reopen();
  const file = path.join(scratch, 'data', old.agent, 'succession.json');
  const whole = fs.readFileSync(file);
  expect(copies.successions.mend(home())).toBe(false);
  for (const spoil of [() => fs.rmSync(file), () => fs.truncateSync(file, 20)]) {
    spoil();
    expect(copies.successions.homeOf(next.agent)).toBe(home());
    expect(copies.successions.successorOf(old.agent)).toBe(next.agent);
    expect(copies.successions.mend(home())).toBe(true);
    expect(fs.readFileSync(file).equals(whole)).toBe(true);
  }
  await close();
  fs.truncateSync(file, 20);
  await open();
  expect(copies.successions.currentOf(home())).toBe(next.agent);
  expect(copies.successions.mend(home())).toBe(true);
  fs.rmSync(path.join(scratch, 'home', 'db', old.agent, 'succession.json'));
  expect(copies.successions.mend(home())).toBe(false);
  expect(fs.readFileSync(path.join(scratch, 'home', 'db', old.agent, 'succession.json')).equals(whole)).toBe(
    true,
  );
  fs.renameSync(path.join(scratch, 'data', old.agent), path.join(scratch, 'away'));
  expect(copies.successions.mend(home())).toBe(false);
  fs.renameSync(path.join(scratch, 'away'), path.join(scratch, 'data', old.agent));
});

it.each<[string, (file: string) => void]>([
  ['a damaged file', (file) => fs.truncateSync(file, 20)],
  [
    'a directory in its place',
    (file) => {
      fs.rmSync(file);
      fs.mkdirSync(file);
    },
  ],
])(
  'does not let another agent suffer from %s, and gives a device that it may name no place of its own',
  async (_, spoil) => {
    await leaveHistory();
    await succeed(old.agent, next.agent);
    await copies.open(third.agent, 'media', 'mirror');
    await close();
    const file = path.join(scratch, 'data', old.agent, 'succession.json');
    spoil(file);
    fs.rmSync(path.join(scratch, 'home', 'db', old.agent, 'succession.json'));
    copies = receiverCopies(scratch);
    const { successions } = copies;
    expect([successions.homeOf(third.agent), successions.successorOf(third.agent)]).toEqual([
      third.agent,
      null,
    ]);
    const unreadable = expect.objectContaining({ code: 'HOME_INVALID' }) as Error;
    expect(() => successions.homeOf(next.agent)).toThrow(unreadable);
    expect(() => successions.successorOf(old.agent)).toThrow(unreadable);
    fs.rmSync(file, { recursive: true });
    await open();
  },
);

it('lets nothing go while the key of an earlier device is lost, as nobody knows then what its dumps need', async () => {
  await leaveHistory();
  await succeed(old.agent, next.agent);
  copies.learnKey(home(), spki(next));
  await close();
  fs.rmSync(path.join(scratch, 'data', old.agent, 'agent.pem'));
  fs.rmSync(path.join(scratch, 'home', 'db'), { recursive: true });
  await open();
  const store = await database();
  const kept = { parts: [], longestMs: 0, newestComplete: 1, floorDays: 0 };
  const later = Date.now() + 1000 * 86_400_000;
  expect(await store.expire(later, kept)).toEqual({ versions: 0, packs: 0, bytes: 0 });
});
