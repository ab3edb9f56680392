import { createPrivateKey, createPublicKey, randomBytes, type KeyObject } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { PointLedger } from '../../agent/points/point-ledger.ts';
import { ServeSession } from '../../agent/serve/serve-session.ts';
import { defaultGuardRules, type GuardRules } from '../../receiver/guard/guard-rules.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import type { Message } from '../../shared/protocol/codec.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { packName } from '../../shared/sealing/object-name.ts';
import { encodePointRecord, pointId, type PointRecord } from '../../shared/sealing/point-record.ts';
import { signRecord } from '../../shared/sealing/signed-record.ts';
import { unpaced } from '../../shared/transfer/send-pace.ts';
import { FakeFolderFeed } from '../support/fake-folder-feed.ts';
import { HostileAgent } from '../support/hostile-agent.ts';
import { ReceiverWorld } from '../support/receiver-world.ts';
import { createTestKey, SealedBench, type TestKey } from '../support/sealed-bench.ts';
import { versionObjects, type SealedObject } from '../support/sealed-store-fixture.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { fileState, readTree, sha256 } from '../support/store-fixture.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';
import { unsealersOf } from '../support/unsealers-of.ts';
import { until } from '../support/until.ts';

// What is to hold: whatever somebody does who has taken over a server, with the agent's own key, the receiver gives back the
// last point from before, complete, and gives nothing back to him.

const kib = 1024;
/** As by default, for a database of some hundred KiB. */
const guarded: GuardRules = {
  ...defaultGuardRules,
  shrinking: { share: 0.5, bytes: 10 * kib },
  surge: { times: 10, dumps: 2, bytes: 100 * kib },
};
const unguarded: GuardRules = { ...guarded, changes: null, shrinking: null, surge: null, recipients: false };
const quotaBytes = 60 * 1024 * kib;
const files = 150;

let owner: TestKey;
let thief: TestKey;
let directory: string;
let world: ReceiverWorld;
let media: FakeFolderFeed;
let database: SealedBench;
let ledger: PointLedger;
let agentId: DeviceId;
let publicKey: Buffer;
let deviceKey: KeyObject;
let links: Channel[];

beforeAll(async () => {
  [owner, thief] = [await createTestKey('owner'), await createTestKey('thief')];
});

beforeEach(() => {
  directory = memoryDirectory();
  links = [];
});

afterEach(async () => {
  for (const link of links) link.close();
  await world.close();
  database.close();
  fs.rmSync(directory, { recursive: true });
});

function connect(): Channel {
  const link = world.connect(agentId, publicKey);
  links.push(link);
  return link;
}

/** A server with a receiver that has taken a point of each of four days, and two of the fifth. Gives the last ones. */
async function fiveGoodDays(
  rules: GuardRules,
): Promise<{ morning: string; afternoon: string; state: State }> {
  world = new ReceiverWorld(directory, { rules, quotaBytes });
  const home = path.join(directory, 'agent');
  fs.mkdirSync(home);
  database = await SealedBench.create(home, [owner.recipient]);
  agentId = database.identity.deviceId;
  deviceKey = createPrivateKey(database.identity.keyPem);
  publicKey = createPublicKey(deviceKey).export({ type: 'spki', format: 'der' });
  media = new FakeFolderFeed();
  ledger = new PointLedger(
    { steadyNow: () => world.now, after: () => {} },
    { directory: path.join(home, 'points'), pointsMax: 2000 },
  );
  for (let at = 0; at < files; at += 1) media.write(`accounts/${at}.png`, `picture ${at} `.repeat(20));
  for (let day = 0; day < 4; day += 1) {
    await liveAndReplicate(`day ${day}`);
    await world.passHours(24);
  }
  const morning = await liveAndReplicate('morning');
  await world.passHours(6);
  const afternoon = await liveAndReplicate('afternoon');
  await world.passHours(1);
  expect(world.alarms.list()).toEqual([]);
  return { morning, afternoon, state: stateOf('afternoon') };
}

type State = { media: Map<string, string>; dump: Buffer };
const dumpOf = (text: string): Buffer =>
  Buffer.concat([seededBytes('rows', 200 * kib), Buffer.from(`the rows of ${text}`)]);
const stateOf = (text: string): State => ({
  media: new Map([...media.source].map(([name, bytes]) => [name, bytes.toString()])),
  dump: dumpOf(text),
});

/** Some files come, one is replaced, a dump is made, all of it is taken, with a point. */
async function liveAndReplicate(text: string): Promise<string> {
  for (let at = 0; at < 5; at += 1) media.write(`media/${text} ${at}.png`, `a picture of ${text}`);
  media.write('accounts/0.png', `avatar of ${text}`);
  return dumpAndReplicate(dumpOf(text));
}

/** What a whole agent does: dump, point, and a link on which everything is pulled. */
async function dumpAndReplicate(dump: Buffer): Promise<string> {
  media.scan();
  await database.dump(dump);
  const feeds = [media, database.feed];
  const serving = new ServeSession(
    {
      channel: connect(),
      folders: { list: () => feeds, onChange: () => () => {} },
      points: ledger,
      pace: unpaced,
      logger: silentLogger,
    },
    { programVersion: '0.0.0' },
  );
  const ended = serving.run();
  await until('everything is pulled', () =>
    feeds.every((feed) => feed.batchAfter(durableOf(feed.folderId, feed.indexId())) === null),
  );
  const id = addPoint();
  await until(
    'the point',
    () =>
      world.points
        .opened(agentId)
        ?.list()
        .some((point) => point.id === id) === true,
  );
  serving.stop();
  await ended;
  await world.sessions.ended();
  return id;
}

function durableOf(folder: string, indexId: Buffer): number {
  const store = new Map(world.copies.foldersOf(agentId)).get(folder);
  const position = store?.position() ?? null;
  return position?.indexId.equals(indexId) === true ? position.sequence : 0;
}

/** A point of what the receiver has now, as the agent would make it. */
function addPoint(): string {
  const { number, previous } = ledger.next();
  const point = signedPoint({ number, previous });
  ledger.add(number, point.record, point.signature);
  return point.id;
}

function signedPoint(changes: Partial<PointRecord>): { id: string; record: Buffer; signature: Buffer } {
  const stores = new Map(world.copies.foldersOf(agentId));
  const [held, sealed] = [stores.get('media'), stores.get('database')];
  const position = held?.position();
  const version = sealed?.kind === 'sealed' ? sealed.listVersions().at(-1) : undefined;
  if (position == null || version === undefined) throw new Error('nothing is held yet');
  const { sequence } = position;
  const value: PointRecord = {
    agent: agentId,
    number: 1,
    createdAt: new Date(world.now).toISOString(),
    previous: null,
    cause: 'dump',
    pin: null,
    folders: [
      {
        id: 'database',
        kind: 'sealed',
        epoch: version.epoch,
        number: version.number,
        record: version.hash.toString('hex'),
      },
      { id: 'media', kind: 'mirror', index: position.indexId.toString('hex'), from: sequence, to: sequence },
    ],
    ...changes,
  };
  const record = encodePointRecord(value);
  return { id: pointId(value, record), record, signature: signRecord(record, deviceKey) };
}

/** First encrypted and renamed, then deleted; the configuration at its worst; then the agent's databases wiped. */
async function attackTheServer(): Promise<void> {
  const names = [...media.source.keys()];
  for (const name of names) {
    media.write(`${name}.locked`, randomBytes(100));
    media.remove(name);
  }
  database.recipients = [thief.recipient];
  await dumpAndReplicate(randomBytes(200 * kib));
  await world.passHours(1);
  media.source.clear();
  await dumpAndReplicate(randomBytes(100));
  await world.passHours(1);
  database.close();
  for (const name of ['seal.db', 'seal.db-wal', 'seal.db-shm', 'spool'])
    fs.rmSync(path.join(database.home, name), { recursive: true, force: true });
  database = SealedBench.reuse(database.home, [thief.recipient], database.identity);
  media = new FakeFolderFeed();
  media.write('README.txt', 'pay');
  await dumpAndReplicate(Buffer.from('pay'));
}

/** A version of random bytes in an epoch of its own, signed as it should be. */
function garbageDump(number: number, bytes: number): SealedObject[] {
  const content = randomBytes(bytes);
  const pack = { path: packName(sha256(content)) as RelativePath, content };
  const epoch = number.toString(16).padStart(16, '0');
  const keys = { key: deviceKey, agent: agentId, epoch, recipients: ['EEEEEEEEEEEEEEEE'] };
  const version = versionObjects(number, [pack], keys);
  return [pack, version.json, version.signature];
}

/** Dumps of garbage, false deletions in a new index, and points of all of it, by a program that only speaks the protocol. */
async function floodWithGarbage(dumps: number): Promise<void> {
  const hostile = new HostileAgent(connect());
  const [sealedIndex, mediaIndex] = [randomBytes(8), randomBytes(8)];
  await hostile.offer([
    { id: 'database', kind: 'sealed', indexId: sealedIndex },
    { id: 'media', kind: 'mirror', indexId: mediaIndex },
  ]);
  for (let from = 1; from <= dumps; from += 50) {
    const objects = Array.from({ length: 50 }, (_, at) => garbageDump(from + at, 1000)).flat();
    expect(await hostile.bring('database', sealedIndex, objects)).toBe('durable');
  }
  expect(await hostile.bring('media', mediaIndex, [{ path: 'mine', content: Buffer.from('all mine') }])).toBe(
    'durable',
  );
  await hostile.end('media', mediaIndex);
  const times = ['1970-01-02T00:00:00.000Z', '2999-01-01T00:00:00.000Z'];
  const answers = [];
  for (let at = 0; at < 40; at += 1) {
    const { record, signature } = signedPoint({ number: 1000 + at, createdAt: times[at % 2] ?? '' });
    answers.push(await hostile.announce(record, signature));
  }
  expect(answers.filter(({ held }) => held).length).toBeLessThan(30);
  expect(answers.at(-1)).toMatchObject({ held: false, code: 'POINTS_LIMITED' });
  const large = randomBytes(64);
  const state = { ...fileState(large), size: 4 * quotaBytes };
  expect(await hostile.bring('media', mediaIndex, [{ path: 'large', content: null, state }])).toBe(
    'QUOTA_REACHED',
  );
  hostile.close();
  await world.sessions.ended();
}

/** Every message by which content or history is ever read, each on a link of its own; what came back of it. */
async function tryToReadBack(): Promise<Message[]> {
  const wanted = Buffer.from('avatar of afternoon');
  const hash = sha256(wanted);
  const about = { requestId: 1, folder: 'media' };
  const questions: Message[] = [
    { type: 'browse', ...about, at: null, between: null, after: null, limit: 10 },
    { type: 'browse', ...about, folder: null, at: null, between: null, after: null, limit: 10 },
    { type: 'browsePoints', requestId: 1, after: null, limit: 10 },
    { type: 'browseLacking', ...about, point: '20261121-140000-0a1b2c3d', after: null, limit: 10 },
    {
      type: 'want',
      ...about,
      items: [{ path: 'accounts/0.png' as RelativePath, hash, offset: 0, length: wanted.length }],
    },
    { type: 'wantChunks', ...about, path: 'accounts/0.png' as RelativePath, hash, from: 0 },
    { type: 'subscribe', folder: 'media', indexId: Buffer.alloc(8), position: null },
  ];
  const heard: Message[] = [];
  for (const question of questions) {
    const hostile = new HostileAgent(connect());
    await hostile.ask(question);
    heard.push(...hostile.heard);
  }
  await world.sessions.ended();
  return heard;
}

/** Twelve days on, while the thief goes on to make points that are complete and hold nothing. */
async function twelveDaysOn(): Promise<void> {
  for (let at = 0; at < 12 * 4; at += 1) {
    await world.passHours(6, 6);
    const { record, signature } = signedPoint({ number: 5000 + at });
    expect(await world.points.take(agentId, record, signature)).toMatchObject({ held: true });
  }
}

async function restored(point: string): Promise<State & { complete: boolean | undefined }> {
  const to = path.join(directory, `restored ${point}`);
  const result = await world.restore(agentId, point, { to, unsealers: unsealersOf(owner, directory) });
  const tree = readTree(path.join(to, 'media'));
  return {
    complete: result.point?.complete,
    media: new Map([...tree].map(([name, bytes]) => [name, bytes.toString()])),
    dump: fs.readFileSync(path.join(to, 'database', 'database.dump')),
  };
}

const codes = (): string[] => world.alarms.list().map(({ code }) => code);

it('gives back the last good point whole, long after ransomware has gone through a server and its agent, and gives nothing to the thief', async () => {
  const { afternoon, state } = await fiveGoodDays(guarded);
  await attackTheServer();
  expect(codes().sort()).toEqual(['DUMP_SHRUNK', 'MASS_CHANGE', 'RECIPIENTS_CHANGED']);
  const asked = await tryToReadBack();
  expect(new Set(asked.map(({ type }) => type))).toEqual(new Set(['hello', 'refuse']));
  await floodWithGarbage(500);
  await twelveDaysOn();
  expect(world.guards.isFrozen(agentId)).toBe(true);
  expect(codes()).toEqual(
    expect.arrayContaining(['DUMP_SHRUNK', 'MASS_CHANGE', 'PACKS_SURGED', 'RECIPIENTS_CHANGED']),
  );
  const back = await restored(afternoon);
  expect(back.complete).toBe(true);
  expect(back.media).toEqual(state.media);
  expect(back.dump.equals(state.dump)).toBe(true);
  expect(await tryToReadBack()).toHaveLength(asked.length);
  // a person has looked, restored and lets go of what the rules let go of
  world.guards.release(agentId);
  await world.passHours(1);
  expect(
    world.points
      .opened(agentId)
      ?.list()
      .map(({ id }) => id),
  ).not.toContain(afternoon);
});

it('keeps the first complete point of the day before by its rules alone, and loses the last one of it after seven days', async () => {
  const { morning, afternoon } = await fiveGoodDays(unguarded);
  await attackTheServer();
  await floodWithGarbage(100);
  expect(codes().filter((code) => code !== 'QUOTA_REACHED')).toEqual([]);
  await world.passHours(24 * 6, 6);
  expect((await restored(afternoon)).complete).toBe(true);
  await twelveDaysOn();
  const kept = world.points
    .opened(agentId)
    ?.list()
    .map(({ id }) => id);
  expect(kept).not.toContain(afternoon);
  expect(kept).toContain(morning);
  expect((await restored(morning)).complete).toBe(true);
});
