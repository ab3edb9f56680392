import fs from 'node:fs';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { PointBook } from '../../receiver/points/point-book.ts';
import type { KeptHistory, PointPart } from '../../receiver/points/folder-evidence.ts';
import { defaultPointRules, longestKeptMs } from '../../receiver/retention/point-retention.ts';
import type { Holding, ChangeEntry } from '../../receiver/store/journal-entry.ts';
import { MirrorIndex } from '../../receiver/store/mirror-index.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { momentOf, type Moment } from '../../receiver/store/moment.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { PointSigner } from '../support/point-fixture.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { indexA, storeFixture } from '../support/store-fixture.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult, Row } from './benchmark.ts';
import { median } from './median.ts';

const recordsAtScale1 = [10_000, 100_000, 1_000_000];
const [points, sequencesPerPoint, versionsInPoint, runs] = [2000, 1000, 10_000, 3];
const [hourMs, startMs, rowsAtOnce] = [3_600_000, 1_700_000_000_000, 20_000];
const endMs = startMs + (points + 24) * hourMs;
/** Points that have something of their own: so many runs with 10,000 versions each, then as many with one. */
const ownedAt = (run: number): number => 100 + 50 * run;

/** How long an expiry takes when little goes, and when much is kept; see docs/performance.md#expiry. */
export const expiry: Benchmark = {
  name: 'expiry',
  summary: 'what expiry costs a receiver that keeps up to 1,000,000 file records and 2,000 restore points',
  run: async (context) => {
    const rows: Row[] = [];
    for (const records of recordsAtScale1)
      rows.push(...(await measureStore(context, Math.ceil(records * context.scale))));
    const bookMs = await measureBook(context);
    return report(rows, bookMs);
  },
};

async function measureStore({ directory, seed, say }: BenchmarkContext, records: number): Promise<Row[]> {
  say(`${records} file records`);
  const place = path.join(directory, String(records));
  fs.mkdirSync(place);
  const fixture = storeFixture(place, { now: () => endMs }, { retention: { kind: 'points', floorDays: 7 } });
  await (await fixture.open()).close();
  fillStore(fixture, new SeededRandom(seed), records);
  const store = await fixture.open();
  try {
    return await measureSteps(store, records);
  } finally {
    await store.close();
    fs.rmSync(place, { recursive: true });
  }
}

async function measureSteps(store: MirrorStore, records: number): Promise<Row[]> {
  let kept = Array.from({ length: points }, (_, at): PointPart => partOf(at + 1));
  const step = async (what: string, goes: number[][], versions: number): Promise<Row> => {
    const steps: Step[] = [];
    for (const gone of goes) {
      kept = kept.filter((part) => part.kind !== 'mirror' || !gone.includes(part.to / sequencesPerPoint));
      steps.push(await measureStep(store, kept, versions));
    }
    return {
      records,
      what,
      runs: steps.length,
      wallMs: median(steps.map(({ wallMs }) => wallMs)),
      transactionMs: Math.max(...steps.map(({ transactionMs }) => transactionMs)),
      blockedMs: Math.max(...steps.map(({ blockedMs }) => blockedMs)),
      residentBytes: process.memoryUsage.rss(),
    };
  };
  const each = (from: number): number[][] => Array.from({ length: runs }, (_, run) => [ownedAt(from + run)]);
  return [
    await step('the first look, at everything', [[]], 0),
    await step('nothing goes', [[], [], [], [], []], 0),
    await step('a point goes with 1 version', each(runs), 1),
    await step(`a point goes with ${versionsInPoint} versions`, each(0), versionsInPoint),
  ];
}

type Step = { wallMs: number; transactionMs: number; blockedMs: number };

/** @throws where another number of versions goes than is right */
async function measureStep(store: MirrorStore, parts: readonly PointPart[], versions: number): Promise<Step> {
  const rules = { ...defaultPointRules };
  const kept: KeptHistory = { parts, longestMs: longestKeptMs(rules), newestComplete: 3, floorDays: 7 };
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const transactions = timeTransactions();
  delay.enable();
  // the first turn only begins to count
  await pause(5);
  const startedAt = performance.now();
  const removed = await store.expire(endMs, kept);
  const wallMs = performance.now() - startedAt;
  // the last block is seen by the turn behind it
  await pause(5);
  delay.disable();
  const transactionMs = transactions.stop();
  if (removed.versions !== versions)
    throw new Error(`${removed.versions} versions went instead of ${versions}`);
  return { wallMs, transactionMs, blockedMs: delay.max / 1e6 };
}

/** The longest transaction of any index until it is stopped, ms. */
function timeTransactions(): { stop(): number } {
  const apply = Reflect.get(MirrorIndex.prototype, 'apply');
  let longestMs = 0;
  MirrorIndex.prototype.apply = function timed(...given) {
    const startedAt = performance.now();
    apply.apply(this, given);
    longestMs = Math.max(longestMs, performance.now() - startedAt);
  };
  return {
    stop: () => {
      MirrorIndex.prototype.apply = apply;
      return longestMs;
    },
  };
}

function partOf(point: number): PointPart {
  const at = point * sequencesPerPoint;
  return { id: 'media', kind: 'mirror', index: indexA.toString('hex'), from: at, to: at };
}

/** Seven in ten records are alive, the others versions that kept points need, and those that single points own. */
function fillStore(
  fixture: { root: string; databasePath: string },
  random: SeededRandom,
  records: number,
): void {
  const index = new MirrorIndex(openDatabase(fixture.databasePath));
  const meta = index.meta();
  if (meta === null) throw new Error('the store has no state');
  let id = 1;
  let batch: ChangeEntry[] = [];
  const flush = (): void => {
    const position = { indexId: indexA, sequence: (points + 1) * sequencesPerPoint, token: Buffer.alloc(32) };
    const begin = { ...meta, batch: meta.lastBatch, at: startMs, nextVersionId: id, position };
    const states = { indexNumber: 1, completes: true, settles: true, forgets: false, doubtful: false };
    index.apply({ type: 'begin', ...begin, ...states }, batch, [], meta.mark);
    batch = [];
  };
  const add = (change: ChangeEntry): void => {
    batch.push(change);
    if (batch.length >= rowsAtOnce) flush();
  };
  const version = (name: RelativePath, begun: number, ended: number): void => {
    const replaced = {
      id,
      name: `${name}~20261121-080000`,
      holding: holding(random, begun),
      ended: at(ended),
    };
    id += 1;
    add({ type: 'version', path: name, replaced, replacedAt: timeOf(ended) });
  };
  const last = points * sequencesPerPoint;
  for (let file = 0; file < records * 0.7; file += 1)
    add({
      type: 'set',
      path: pathOf(file),
      holding: holding(random, random.integer(1, last)),
      namedIn: indexA,
      temp: null,
      replaced: null,
    });
  for (let file = 0; file < records * 0.3; file += 1) {
    const begun = random.integer(1, last - 3 * sequencesPerPoint);
    version(`old/${pathOf(file)}` as RelativePath, begun, random.integer(begun + sequencesPerPoint, last));
  }
  for (let run = 0; run < 2 * runs; run += 1) {
    const own = ownedAt(run) * sequencesPerPoint;
    for (let file = 0; file < (run < runs ? versionsInPoint : 1); file += 1) {
      const name = `owned/${run}/${file % 100}/${file}` as RelativePath;
      version(name, own - 10, own + 10);
      makeFile(path.join(fixture.root, 'versions', `${name}~20261121-080000`));
    }
  }
  flush();
  index.close();
}

function makeFile(file: string): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, 'x');
}

function at(sequence: number): Moment {
  return momentOf(1, sequence);
}

/** A thousand sequences are an hour. */
function timeOf(sequence: number): number {
  return startMs + Math.round((sequence / sequencesPerPoint) * hourMs);
}

function holding(random: SeededRandom, sequence: number): Holding {
  const state = {
    kind: 'file',
    size: 1,
    mtimeNs: 1n,
    mode: 0o644,
    uid: 991,
    gid: 991,
    hash: random.bytes(32),
  } as const;
  return {
    state,
    indexId: indexA,
    sequence,
    replaces: null,
    receivedAt: timeOf(sequence),
    begun: at(sequence),
  };
}

/** As Mastodon names attachments. */
function pathOf(file: number): RelativePath {
  const digits = String(file).padStart(9, '0');
  const directories = [digits.slice(0, 3), digits.slice(3, 6), digits.slice(6)].join('/');
  return `media_attachments/files/${directories}/original/0123456789abcdef.png` as RelativePath;
}

/** How long the rules take to decide over all points, with nothing to go, ms. */
async function measureBook({ directory, say }: BenchmarkContext): Promise<number> {
  say(`${points} restore points`);
  const signer = new PointSigner();
  let steadyMs = 0;
  const book = await PointBook.open(
    {
      disk: nodeDisk,
      agentKey: () => signer.publicKey,
      retentionNow: () => startMs + steadyMs,
      now: () => startMs + steadyMs,
      steadyNow: () => steadyMs,
      isForgotten: () => false,
      logger: silentLogger,
    },
    { directory: path.join(directory, 'agent', 'points'), agent: signer.agent },
  );
  for (let number = 1; number <= points; number += 1) {
    steadyMs += hourMs;
    const { record, signature } = signer.point(number);
    if (!(await book.take(record, signature)).held) throw new Error('a point was not taken');
  }
  const rules = { ...defaultPointRules, hourlyDays: 3660 };
  const times: number[] = [];
  for (let run = 0; run < 5; run += 1) {
    const startedAt = performance.now();
    const gone = await book.expire(rules, () => 0);
    times.push(performance.now() - startedAt);
    if (gone.length > 0) throw new Error('a point went that is to stay');
  }
  await book.close();
  return median(times);
}

function report(rows: readonly Row[], bookMs: number): BenchmarkResult {
  const of = (records: number, start: string): number | null => {
    const row = rows.find((one) => one['records'] === records && String(one['what']).startsWith(start));
    return row === undefined ? null : Number(row['wallMs']);
  };
  const sizes = rows.map((row) => Number(row['records']));
  const [small, large] = [Math.min(...sizes), Math.max(...sizes)];
  const goals = ['nothing goes', 'a point goes with 1 version', 'a point goes with 10000'].map((what) => {
    const [least, most] = [of(small, what), of(large, what)];
    const measured = least === null || most === null ? null : most / least;
    return { what: `${what}: ${large} records / ${small}`, measured, limit: 2, unit: 'times' } as const;
  });
  return {
    tables: [
      {
        title: `Expiry of a mirror folder beside ${points} kept points; medians, longest transaction and longest block of the thread`,
        columns: [
          { id: 'records', title: 'FILE RECORDS', unit: 'count' },
          { id: 'what', title: 'WHAT', unit: 'text' },
          { id: 'runs', title: 'RUNS', unit: 'count' },
          { id: 'wallMs', title: 'TIME', unit: 'ms' },
          { id: 'transactionMs', title: 'TRANSACTION', unit: 'ms' },
          { id: 'blockedMs', title: 'BLOCKED', unit: 'ms' },
          { id: 'residentBytes', title: 'MEMORY', unit: 'bytes' },
        ],
        rows,
      },
      {
        title: `Deciding over ${points} restore points`,
        columns: [{ id: 'wallMs', title: 'TIME', unit: 'ms' }],
        rows: [{ wallMs: bookMs }],
      },
    ],
    goals,
    checks: ['each step removed exactly the versions that only the points had that went'],
    notes: ['rows are written by the index of the store itself; only the versions that go have files'],
  };
}
