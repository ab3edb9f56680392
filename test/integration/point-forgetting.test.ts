import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { AgentCopies } from '../../receiver/agent-copies.ts';
import { retryForgetting } from '../../receiver/forgetting-retries.ts';
import { PointBooks } from '../../receiver/point-books.ts';
import { PointForgetting } from '../../receiver/point-forgetting.ts';
import { defaultPointRules } from '../../receiver/retention/point-retention.ts';
import type { VersionRetention } from '../../receiver/retention/version-retention.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import { AlarmBoard } from '../../shared/alarm-board.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import type { PointRecord } from '../../shared/sealing/point-record.ts';
import { dyingDisk } from '../support/faulty-disk.ts';
import { PointSigner, type MadePoint } from '../support/point-fixture.ts';
import { receiverCopies } from '../support/receiver-copies.ts';
import { packObject, SealedFeedFake, versionObjects } from '../support/sealed-store-fixture.ts';
import { FeedFake, indexA, readTree } from '../support/store-fixture.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const rules = { ...defaultPointRules, newestComplete: 1 };
const signer = new PointSigner();
const agentId: DeviceId = signer.agent;
const disk = dyingDisk(nodeDisk);

let now: number;
let scratch: string;
let data: string;
let copies: AgentCopies;
let books: PointBooks;
let forgetting: PointForgetting;
let media: MirrorStore;
let database: SealedStore;
let feed: FeedFake;
let dumps: SealedFeedFake;
let isRead: boolean;
let made: number;

beforeEach(async () => {
  now = 1_800_000_000_000;
  isRead = false;
  made = 0;
  [versionPart, lastDump] = [null, null];
  scratch = memoryDirectory();
  data = path.join(scratch, 'data');
  fs.mkdirSync(data);
  await open({ kind: 'points', floorDays: 7 });
  feed = new FeedFake(() => media);
  dumps = new SealedFeedFake(() => database);
});

afterEach(async () => {
  disk.revive();
  await close();
  fs.rmSync(scratch, { recursive: true });
});

async function open(versions: VersionRetention): Promise<void> {
  copies = receiverCopies(scratch, () => now, { versions }, disk.disk);
  copies.learnKey(agentId, signer.publicKey.export({ type: 'spki', format: 'der' }));
  await copies.openAll();
  media = (await copies.open(agentId, 'media', 'mirror')) as MirrorStore;
  database = (await copies.open(agentId, 'database', 'sealed')) as SealedStore;
  const clocks = { retentionNow: () => now, now: () => now, steadyNow: () => now };
  books = new PointBooks({ copies, dataDirectory: data, disk: disk.disk, logger: silentLogger, ...clocks });
  forgetting = new PointForgetting(
    { bookOf: async (id) => books.of(id), copies, isRead: () => isRead, retentionNow: () => now },
    { rulesOf: () => rules },
  );
}

async function close(): Promise<void> {
  await books.close();
  await copies.close();
}

async function reopen({
  losing = false,
  versions,
}: { losing?: boolean; versions?: VersionRetention } = {}): Promise<void> {
  await close();
  if (losing) fs.rmSync(path.join(scratch, 'home', 'db'), { recursive: true });
  await open(versions ?? { kind: 'points', floorDays: 7 });
}

/** What the receiver does every ten minutes. */
async function retry(): Promise<void> {
  const alarms = new AlarmBoard({ logger: silentLogger, now: () => now });
  const agentIds = (): DeviceId[] => copies.agentIds();
  await retryForgetting({ forgetting, agentIds, alarms, logger: silentLogger }, () => false);
  expect(alarms.list()).toEqual([]);
}

type Part = PointRecord['folders'][number];
let versionPart: Part | null = null;
let lastDump: string | null = null;

/** A point of what is there now. */
async function point(fields: { pin?: string } = {}): Promise<MadePoint> {
  const { sequence } = feed;
  const mirror: Part = {
    id: 'media',
    kind: 'mirror',
    index: indexA.toString('hex'),
    from: sequence,
    to: sequence,
  };
  const folders = versionPart === null ? [mirror] : [mirror, versionPart];
  const one = signer.point((made += 1), { pin: fields.pin ?? null, folders });
  expect(await books.take(agentId, one.record, one.signature)).toMatchObject({ held: true });
  now += 3_600_000;
  return one;
}

/** A dump of these packs, of which the next points speak. */
async function dump(number: number, packs: readonly string[]): Promise<void> {
  const objects = [packObject(`root ${number}`), ...packs.map(packObject)];
  const { json, signature, hash } = versionObjects(number, objects, {
    agent: agentId,
    key: signer.privateKey,
    previous: lastDump,
  });
  lastDump = hash;
  await dumps.send([...objects, json, signature]);
  versionPart = { id: 'database', kind: 'sealed', epoch: '00000000000000aa', number, record: hash };
}

/** Contents of a path, one after the other, each in a point of its own. */
async function history(path: string, contents: readonly string[]): Promise<MadePoint[]> {
  const points: MadePoint[] = [];
  for (const content of contents) {
    await feed.send({ [path]: content });
    await feed.complete();
    points.push(await point());
  }
  return points;
}

const treeOf = (folder: string): string[] =>
  [...readTree(path.join(data, agentId, folder))]
    .filter(([name]) => /^(versions|packs|current|incoming)\//.test(name))
    .map(([name, content]) => (folder === 'media' ? content.toString() : name))
    .sort();
const packs = (): number => treeOf('database').filter((name) => name.startsWith('packs/')).length;
const held = async (): Promise<string[]> => (await books.held(agentId)).map(({ id }) => id);

it('finds a point whose files are damaged by the beginning of its name, and forgets it', async () => {
  const [one, two] = await history('a', ['first', 'second']);
  await close();
  fs.truncateSync(path.join(data, agentId, 'points', `${one?.id}.json`), 10);
  await open({ kind: 'points', floorDays: 7 });
  await books.of(agentId);
  expect(await held()).toEqual([two?.id]);
  const found = await books.find(one?.id.slice(0, -1) ?? '', [agentId]);
  expect([found.id, found.point]).toEqual([one?.id, null]);
  expect(await forgetting.plan(agentId, [found.id])).toEqual({ versions: 0, bytes: 0, left: 1 });
  expect(await forgetting.forget(agentId, [found.id])).toEqual({ versions: 0, bytes: 0, waitsFor: null });
  await expect(books.find(found.id, [agentId])).rejects.toMatchObject({ code: 'POINT_UNKNOWN' });
  expect(fs.existsSync(path.join(data, agentId, 'points', `${found.id}.json`))).toBe(false);
});

it('removes at once, below the floor by age, what only the forgotten points had, and nothing else', async () => {
  const [one, two] = await history('picture', ['one', 'two', 'three']);
  await feed.send({ picture: 'four' });
  await feed.send({ picture: 'five' });
  const plan = await forgetting.plan(agentId, [one?.id ?? '', two?.id ?? '']);
  const done = await forgetting.forget(agentId, [one?.id ?? '', two?.id ?? '']);
  // "four" was in no point: the floor keeps it; "three" is in a kept point
  expect(treeOf('media')).toEqual(['five', 'four', 'three']);
  expect(done).toEqual({ versions: 2, bytes: 6, waitsFor: null });
  expect(plan).toEqual({ versions: 2, bytes: 6, left: 1 });
  for (const losing of [false, true]) {
    await reopen({ losing });
    expect(treeOf('media')).toEqual(['five', 'four', 'three']);
    expect(media.listVersions('picture' as Parameters<MirrorStore['listVersions']>[0])).toHaveLength(2);
    expect(await held()).toHaveLength(1);
  }
  expect(fs.readdirSync(path.join(data, agentId, 'points')).join(' ')).not.toContain(one?.id ?? '?');
});

it('keeps what another point has as well, pinned or not, and what is there now', async () => {
  await feed.send({ picture: 'old', avatar: 'face' });
  await feed.complete();
  const first = await point();
  await point({ pin: 'kept' });
  await history('picture', ['new']);
  expect(await forgetting.forget(agentId, [first.id])).toEqual({ versions: 0, bytes: 0, waitsFor: null });
  expect(treeOf('media')).toEqual(['face', 'new', 'old']);
});

it('refuses pinned and unknown points, and forgets none of those that were named beside them', async () => {
  const [one] = await history('picture', ['one', 'two']);
  const pinned = await point({ pin: 'kept' });
  await expect(forgetting.forget(agentId, [one?.id ?? '', pinned.id])).rejects.toMatchObject({
    code: 'POINT_PINNED',
    hint: expect.stringContaining(`unpin ${pinned.id}`) as string,
  });
  await expect(forgetting.forget(agentId, [one?.id ?? '', '20260101-000000-00000000'])).rejects.toMatchObject(
    {
      code: 'POINT_UNKNOWN',
    },
  );
  expect(await held()).toHaveLength(3);
  await (await books.of(agentId)).unpin(pinned.id);
  await forgetting.forget(agentId, [one?.id ?? '', pinned.id]);
  expect(await held()).toHaveLength(1);
});

it('removes dumps that only they name, with the packs that no other dump needs, though leased, and tells the agent of those', async () => {
  await feed.send({ picture: 'one' });
  await feed.complete();
  await dump(1, ['shared', 'old']);
  const first = await point();
  await dump(2, ['shared', 'newer']);
  await point();
  await dump(3, ['shared', 'newest']);
  await point();
  expect(packs()).toBe(7);
  const { bytes } = await forgetting.plan(agentId, [first.id]);
  expect(await forgetting.forget(agentId, [first.id])).toEqual({ versions: 1, bytes, waitsFor: null });
  expect(bytes).toBeGreaterThan(packObject('old').content.length);
  expect(packs()).toBe(5);
  const told = database.missingPacks().map((hash) => `packs/${hash.toString('hex')}.pgp`);
  expect(told.sort()).toEqual([packObject('old').path, packObject('root 1').path].sort());
  for (const losing of [false, true]) {
    await reopen({ losing });
    expect(database.listVersions().map(({ number, complete }) => [number, complete])).toEqual([
      [2, true],
      [3, true],
    ]);
  }
});

it('never takes the newest complete dump, though its only point is forgotten', async () => {
  await feed.send({ picture: 'one' });
  await feed.complete();
  await dump(1, ['a']);
  const only = await point();
  expect(await forgetting.forget(agentId, [only.id])).toEqual({ versions: 0, bytes: 0, waitsFor: null });
  expect(database.listVersions()).toHaveLength(1);
  expect(packs()).toBe(2);
});

it('waits for a restore that reads, across restarts, and the next attempt behind it removes it', async () => {
  const [one] = await history('picture', ['one', 'two', 'three']);
  isRead = true;
  expect(await forgetting.forget(agentId, [one?.id ?? ''])).toMatchObject({
    versions: 0,
    waitsFor: expect.stringContaining('restore') as string,
  });
  expect(await held()).toHaveLength(2);
  expect((await books.of(agentId)).forgotten()).toHaveLength(1);
  await retry();
  expect(treeOf('media')).toContain('one');
  await reopen({ losing: true });
  isRead = false;
  await retry();
  expect(treeOf('media')).toEqual(['three', 'two']);
  expect((await books.of(agentId)).forgotten()).toEqual([]);
});

it('answers an agent that announces a forgotten point again as the first time, and it stays forgotten', async () => {
  const [one] = await history('picture', ['one', 'two']);
  isRead = true;
  await forgetting.forget(agentId, [one?.id ?? '']);
  if (one === undefined) throw new Error('no point');
  expect(await books.take(agentId, one.record, one.signature)).toEqual({ held: true, code: null });
  expect(await held()).not.toContain(one.id);
});

it('leaves what a rule beside the points keeps', async () => {
  await reopen({ versions: { kind: 'simple', keep: 1, cleanoutDays: 0, floorDays: 7 } });
  const [one, two] = await history('picture', ['one', 'two', 'three']);
  expect(await forgetting.forget(agentId, [one?.id ?? '', two?.id ?? ''])).toMatchObject({ versions: 1 });
  expect(treeOf('media')).toEqual(['three', 'two']);
});

it('comes to the same wherever the disk dies, when it is opened and run again', async () => {
  for (let calls = 0; ; calls += 1) {
    const points = await history(`file ${calls}`, ['one', 'two']);
    await dump(2 * calls + 1, [`pack ${calls}`]);
    const last = await point();
    await dump(2 * calls + 2, ['another']);
    await point();
    versionPart = null;
    const ids = [points[0]?.id ?? '', last.id];
    disk.dieAfter(calls);
    const outcome = await forgetting.forget(agentId, ids).catch(() => null);
    const survived = outcome?.waitsFor === null;
    disk.revive();
    await reopen({ losing: calls % 2 === 0 });
    const isForgotten = !(await held()).includes(ids[0] ?? '');
    // once it was said that they are forgotten they are
    if (outcome !== null) expect(isForgotten).toBe(true);
    await retry();
    const contents = treeOf('media').filter((content) => content === 'one');
    expect(contents).toHaveLength(isForgotten ? 0 : 1);
    expect(database.listVersions().every(({ complete }) => complete)).toBe(true);
    expect(database.listVersions().some(({ number }) => number === 2 * calls + 1)).toBe(!isForgotten);
    expect((await books.of(agentId)).forgotten()).toEqual([]);
    if (!isForgotten) await forgetting.forget(agentId, ids);
    if (survived) break;
    now += 86_400_000;
  }
});
