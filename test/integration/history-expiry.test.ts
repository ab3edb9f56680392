import fs from 'node:fs';
import zlib from 'node:zlib';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { AgentCopies } from '../../receiver/agent-copies.ts';
import { expireHistory } from '../../receiver/history-expiry.ts';
import { PointBooks } from '../../receiver/point-books.ts';
import { defaultPointRules, type PointRules } from '../../receiver/retention/point-retention.ts';
import type { ClockGap } from '../../receiver/retention/retention-clock.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { AlarmBoard } from '../../shared/alarm-board.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { PointSigner, type MadePoint } from '../support/point-fixture.ts';
import { receiverCopies } from '../support/receiver-copies.ts';
import { FeedFake, indexA, readTree } from '../support/store-fixture.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

type ExpiryDeps = Parameters<typeof expireHistory>[0];

const dayMs = 86_400_000;
const rules: PointRules = {
  hourlyDays: 0,
  dailyDays: 0,
  weeklyWeeks: 0,
  monthlyMonths: 0,
  newestComplete: 1,
  floorDays: 7,
};
const signer = new PointSigner();

let now: number;
let followed: PointRules;
let data: string;
let copies: AgentCopies;
let books: PointBooks;
let alarms: AlarmBoard;
let store: MirrorStore;
let feed: FeedFake;
let isRead: boolean;
let isFrozen: () => boolean;
/** While versions go. */
let isFrozenMeanwhile: () => boolean;
let stored: number;
let gap: ClockGap | null;
let damagedClock: string | null;

beforeEach(async () => {
  now = 1_800_000_000_000;
  isRead = false;
  isFrozen = () => false;
  isFrozenMeanwhile = () => false;
  stored = 0;
  gap = null;
  damagedClock = null;
  followed = rules;
  const scratch = memoryDirectory();
  data = path.join(scratch, 'data');
  fs.mkdirSync(data);
  copies = receiverCopies(scratch, () => now, { versions: { kind: 'points', floorDays: 7 } });
  copies.learnKey(signer.agent, signer.publicKey.export({ type: 'spki', format: 'der' }));
  alarms = new AlarmBoard({ logger: silentLogger, now: () => now });
  books = openBooks();
  store = (await copies.open(signer.agent, 'media', 'mirror')) as MirrorStore;
  feed = new FeedFake(() => store);
});

afterEach(async () => {
  await books.close();
  await copies.close();
});

function openBooks(): PointBooks {
  const clocks = { retentionNow: () => now, now: () => now, steadyNow: () => now };
  return new PointBooks({ copies, dataDirectory: data, disk: nodeDisk, logger: silentLogger, ...clocks });
}

async function expire(change: (deps: ExpiryDeps) => ExpiryDeps = (deps) => deps): Promise<void> {
  const deps: ExpiryDeps = {
    points: books,
    copies,
    isRead: () => isRead,
    guards: { check: async () => isFrozen(), isFrozen: isFrozenMeanwhile },
    retentionNow: () => now,
    storeClock: () => void (stored += 1),
    clockGap: () => gap,
    damagedClockFile: () => damagedClock,
    alarms,
    logger: silentLogger,
  };
  await expireHistory(change(deps), { rulesOf: () => followed }, () => false);
}

let made = 0;
/** A point of what is there now. */
async function point(pin: string | null = null): Promise<MadePoint> {
  const { sequence } = feed;
  const part = {
    id: 'media',
    kind: 'mirror' as const,
    index: indexA.toString('hex'),
    from: sequence,
    to: sequence,
  };
  const one = signer.point((made += 1), { pin, folders: [part] });
  expect(await books.take(signer.agent, one.record, one.signature)).toMatchObject({ held: true });
  now += 1000;
  return one;
}

/** Three contents of a file, one after the other, each in a point. */
async function threePoints(pin: string | null = null): Promise<MadePoint[]> {
  const points: MadePoint[] = [];
  for (const [at, content] of ['one', 'two', 'three'].entries()) {
    await feed.send({ file: content });
    await feed.complete();
    points.push(await point(at === 0 ? pin : null));
    now += 1000;
  }
  return points;
}

const versions = (): string[] =>
  store
    .listVersions('file' as Parameters<MirrorStore['listVersions']>[0])
    .flatMap(
      ({ name }) =>
        readTree(`${data}/${signer.agent}/media/versions`)
          .get(name ?? '')
          ?.toString() ?? [],
    )
    .sort();
const held = async (): Promise<string[]> => (await books.held(signer.agent)).map(({ id }) => id);

it('lets go of points by the rules and of versions that only they needed, and of neither before the floor', async () => {
  const points = await threePoints();
  now += 6 * dayMs;
  await expire();
  expect([(await held()).length, versions()]).toEqual([3, ['one', 'two']]);
  now += 2 * dayMs;
  await expire();
  expect([await held(), versions()]).toEqual([[points[2]?.id], []]);
  expect(alarms.list()).toEqual([]);
  expect(stored).toBe(2);
});

it('keeps the history of before when a server floods it: points of any date, garbage, a file overwritten again and again', async () => {
  followed = defaultPointRules;
  await feed.send({ file: 'precious' });
  await feed.complete();
  const before = await point();
  let taken = 0;
  for (let at = 0; at < 10_000; at += 1) {
    now += 10_000;
    if (at % 10 === 0) await feed.send({ file: `garbage ${at}` });
    const { sequence: to } = feed;
    const part = { id: 'media', kind: 'mirror' as const, index: indexA.toString('hex'), from: to, to };
    const createdAt = new Date(now + ((at % 3) - 1) * 400 * dayMs).toISOString();
    const one = signer.point((made += 1), { createdAt, folders: [part] });
    const isGarbage = at % 7 === 0;
    const record = isGarbage ? Buffer.from(`{"garbage":${at}}`) : one.record;
    const { held: isHeld } = await books.take(signer.agent, record, one.signature);
    expect(isGarbage && isHeld).toBe(false);
    if (isHeld) taken += 1;
  }
  expect(taken).toBeGreaterThan(100);
  for (let day = 0; day < 300; day += 25) {
    now += 25 * dayMs;
    await expire();
    expect(await held()).toContain(before.id);
    expect(versions()).toContain('precious');
  }
  expect((await held()).length).toBeLessThan(20);
});

it('keeps what a pinned point needs until it is unpinned', async () => {
  const [first, , last] = await threePoints('before the upgrade');
  now += 400 * dayMs;
  await expire();
  expect([await held(), versions()]).toEqual([[first?.id, last?.id], ['one']]);
  await (await books.of(signer.agent)).unpin(first?.id ?? '');
  await expire();
  expect([await held(), versions()]).toEqual([[last?.id], []]);
});

it('removes what a run that was cut off left, though its points are gone already', async () => {
  const points = await threePoints();
  now += 8 * dayMs;
  await expire();
  await feed.send({ file: 'four' });
  await point();
  now += 8 * dayMs;
  // killed behind the points
  await books.expire(signer.agent, rules);
  expect(versions()).toEqual(['three']);
  await books.close();
  await copies.closeStore(signer.agent, 'media');
  store = (await copies.open(signer.agent, 'media')) as MirrorStore;
  books = openBooks();
  await expire();
  expect(versions()).toEqual([]);
  expect(await held()).not.toContain(points[2]?.id);
});

it('tells what expires of points that come meanwhile', async () => {
  await threePoints();
  const told: number[][] = [];
  const slow = Object.create(store) as MirrorStore;
  slow.expire = async (nowMs, kept) => {
    const begins = (): number[] => kept.parts.map((part) => (part.kind === 'mirror' ? part.from : 0));
    told.push(begins());
    await point();
    expect(kept.parts).toBe(kept.parts);
    told.push(begins());
    return store.expire(nowMs, kept);
  };
  const agentIds = (): (typeof signer.agent)[] => [signer.agent];
  await expire((deps) => ({ ...deps, copies: { agentIds, foldersOf: () => [['media', slow]] } }));
  expect(told).toEqual([
    [1, 2, 3],
    [1, 2, 3, 3],
  ]);
});

it('refuses a point that comes again after what it needs was let go', async () => {
  const points = await threePoints();
  now += 8 * dayMs;
  await expire();
  const again = async (at: number) =>
    books.take(signer.agent, points[at]?.record ?? Buffer.alloc(0), points[at]?.signature ?? Buffer.alloc(0));
  expect(await again(1)).toEqual({ held: false, code: 'POINT_TOO_LATE' });
  expect(await again(2)).toEqual({ held: true, code: null });
  expect((await books.list(signer.agent)).map(({ proof }) => proof.complete)).toEqual([true]);
});

it('takes nothing of an agent that a restore reads from, nor of one whose points cannot be read', async () => {
  await threePoints();
  now += 400 * dayMs;
  isRead = true;
  await expire();
  expect([(await held()).length, versions()]).toEqual([3, ['one', 'two']]);
  isRead = false;
  await books.close();
  fs.writeFileSync(`${data}/${signer.agent}/points/facts.journal`, foreignJournal());
  books = openBooks();
  await expire();
  expect(versions()).toEqual(['one', 'two']);
  expect(alarms.list()).toMatchObject([{ code: 'HOME_INVALID' }]);
});

it('takes no version while the files of a kept point are damaged, until somebody puts them back', async () => {
  const [first, , last] = await threePoints('before the upgrade');
  await books.close();
  const file = `${data}/${signer.agent}/points/${first?.id}.json`;
  const whole = fs.readFileSync(file);
  fs.writeFileSync(file, whole.subarray(1));
  books = openBooks();
  now += 400 * dayMs;
  await expire();
  expect([await held(), versions()]).toEqual([[last?.id], ['one', 'two']]);
  expect(alarms.list()).toMatchObject([
    { code: 'RECORD_INVALID', message: expect.stringContaining(first?.id ?? '?') as string },
  ]);
  fs.writeFileSync(file, whole);
  const book = await books.of(signer.agent);
  expect(await book.scrub()).toEqual({ mended: [], extras: [] });
  await expire();
  expect([await held(), versions()]).toEqual([[first?.id, last?.id], ['one']]);
  expect(alarms.list()).toEqual([]);
});

it('lets the rules take a damaged point without a pin as well, the first of all', async () => {
  const [, second, last] = await threePoints();
  await books.close();
  fs.rmSync(`${data}/${signer.agent}/points/${second?.id}.json`);
  books = openBooks();
  await expire();
  expect(alarms.list()).toMatchObject([{ code: 'RECORD_INVALID' }]);
  now += 8 * dayMs;
  await expire();
  expect([await held(), versions(), alarms.list()]).toEqual([[last?.id], [], []]);
  expect((await books.of(signer.agent)).damaged).toEqual([]);
});

it('takes nothing after pins may have been lost with a line of the journal, until a person has looked', async () => {
  const [first, , last] = await threePoints();
  await (await books.of(signer.agent)).pin(first?.id ?? '', 'before the upgrade');
  await books.close();
  const journal = `${data}/${signer.agent}/points/facts.journal`;
  fs.writeFileSync(journal, fs.readFileSync(journal, 'utf8').replace('"pinned"', '"pinmed"'));
  now += 400 * dayMs;
  for (const restart of [1, 2]) {
    books = openBooks();
    await expire();
    expect([(await held()).length, versions()], `restart ${restart}`).toEqual([3, ['one', 'two']]);
    expect(alarms.list()).toMatchObject([
      { code: 'JOURNAL_DAMAGED', message: expect.stringContaining(`remove ${journal}.damaged`) as string },
    ]);
    await books.close();
  }
  expect(fs.readFileSync(`${journal}.damaged`, 'utf8')).toContain('before the upgrade');
  books = openBooks();
  await (await books.of(signer.agent)).pin(first?.id ?? '', 'again');
  fs.rmSync(`${journal}.damaged`);
  await expire();
  expect([await held(), versions(), alarms.list()]).toEqual([[first?.id, last?.id], ['one'], []]);
});

it('takes nothing of an agent that is frozen: points, versions, gaps', async () => {
  await threePoints();
  await feed.send({}, ['lost']);
  await feed.send({ lost: 'came after all' });
  const gaps = store.gaps(null, 10);
  expect(gaps).toHaveLength(1);
  await point();
  now += 400 * dayMs;
  isFrozen = () => true;
  await expire();
  expect([(await held()).length, versions(), store.gaps(null, 10)]).toEqual([4, ['one', 'two'], gaps]);
  isFrozen = () => false;
  await expire();
  expect([(await held()).length, versions(), store.gaps(null, 10)]).toEqual([1, [], []]);
});

it('takes no version any more when the agent is frozen while its points or its versions are looked at', async () => {
  await threePoints();
  now += 400 * dayMs;
  let asked = 0;
  isFrozen = () => (asked += 1) > 1;
  await expire();
  expect([(await held()).length, versions()]).toEqual([1, ['one', 'two']]);
  isFrozen = () => false;
  isFrozenMeanwhile = () => true;
  await expire();
  expect(versions()).toEqual(['one', 'two']);
  isFrozenMeanwhile = () => false;
  await expire();
  expect(versions()).toEqual([]);
});

it('asks a person about a wall clock that was set, until both clocks agree again', async () => {
  gap = { direction: 'ahead', gapMs: 365 * dayMs };
  await expire();
  const [alarm] = alarms.list();
  expect(alarm?.code).toBe('CLOCK_JUMPED');
  expect(alarm?.message).toContain('365 days ahead');
  gap = null;
  await expire();
  expect(alarms.list()).toEqual([]);
});

it('asks a person about a damaged clock until its file is removed', async () => {
  damagedClock = '/data/retention-clock.json.damaged';
  await expire();
  expect(alarms.list()).toMatchObject([{ code: 'CLOCK_DAMAGED' }]);
  expect(alarms.list()[0]?.message).toContain('it is 2027-01-15T08:00:00.000Z now');
  expect(alarms.list()[0]?.message).toContain('remove /data/retention-clock.json.damaged');
  damagedClock = null;
  await expire();
  expect(alarms.list()).toEqual([]);
});

/** Of another agent: it is not believed. */
function foreignJournal(): string {
  const file = `${data}/${signer.agent}/points/facts.journal`;
  const other = new PointSigner().agent;
  const header = fs.readFileSync(file, 'utf8').split('\n')[0]?.slice(9).replace(signer.agent, other) ?? '';
  return `${zlib.crc32(header).toString(16).padStart(8, '0')} ${header}\n`;
}
