import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ScrubMemory } from '../../receiver/scrub/scrub-memory.ts';
import type { ScrubPosition } from '../../receiver/scrub/scrub-position.ts';
import { defaultScrubOptions, type ScrubOptions } from '../../receiver/scrub/scrub-state.ts';
import type { ScrubSubject } from '../../receiver/scrub/scrub-subject.ts';
import { Scrubber } from '../../receiver/scrub/scrubber.ts';
import { AlarmBoard } from '../../shared/alarm-board.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { silentLogger, type Logger } from '../../shared/io/logger.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { until } from '../support/until.ts';

const mebibyte = 1024 * 1024;
const never = new AbortController().signal;
const longMs = 3_600_000;
/** So long it sleeps at most. */
const repairIntervalMs = 300_000;

/** Something of so many pieces, which notes what is read of it. */
class FakeSubject implements ScrubSubject {
  readonly key: string;
  readonly remedy = 'nothing helps';
  readonly pieces: number[] = [];
  damaged = 0;
  /** Whether its damaged files can be made whole now. */
  mendable = false;
  isFull = false;
  strangers: string[] = [];
  rotten: string[] = [];
  failures = 0;
  readonly #count: number;

  constructor(key: string, pieces: number) {
    this.key = key;
    this.#count = pieces;
  }

  get name(): string {
    return `folder ${this.key}`;
  }

  bytes(): number {
    return this.#count * mebibyte;
  }

  async read(at: ScrubPosition | null, pace: (bytes: number) => Promise<void>) {
    if (this.failures > 0) {
      this.failures -= 1;
      throw new CodedError('DISK_FAILED', 'the disk is out of order');
    }
    const piece = Number(at ?? 0);
    await pace(mebibyte);
    this.pieces.push(piece);
    const next = piece + 1 < this.#count ? String(piece + 1) : null;
    return {
      next,
      found: this.rotten.splice(0),
      repaired: 0,
      lacksRoom: null,
      extras: this.strangers,
      again: 0,
    };
  }

  async repair(_between: () => Promise<void>): Promise<number> {
    if (this.isFull) throw new CodedError('QUOTA_REACHED', 'the quota is used up');
    if (!this.mendable) return 0;
    const mended = this.damaged;
    this.damaged = 0;
    return mended;
  }

  damage() {
    return { count: this.damaged, names: this.damaged === 0 ? [] : ['a.jpg'] };
  }

  isExtra(name: string): boolean {
    return this.strangers.includes(name);
  }
}

let file: string;
let alarms: AlarmBoard;
let logger: Logger;
let now: number;
let isHere: boolean;
let isPartHidden: boolean;
let subjects: FakeSubject[];
const scrubbers: Scrubber[] = [];

beforeEach(() => {
  file = path.join(temporaryDirectory(), 'scrub.json');
  now = 1_800_000_000_000;
  isHere = true;
  isPartHidden = false;
  logger = silentLogger;
  alarms = new AlarmBoard({ logger: silentLogger, now: () => now });
  subjects = [new FakeSubject('one', 3), new FakeSubject('two', 2)];
});
afterEach(async () => {
  for (const scrubber of scrubbers.splice(0)) await scrubber.stop();
});

function start(delayMs = longMs, options: ScrubOptions = defaultScrubOptions): Scrubber {
  const memory = new ScrubMemory({ file });
  const clocks = { now: () => now, steadyNow: () => performance.now() };
  const scrubber = new Scrubber(
    {
      subjects: () => subjects,
      memory,
      isHere: () => isHere,
      isPartHidden: () => isPartHidden,
      alarms,
      logger,
      onStop: () => {},
      ...clocks,
    },
    options,
  );
  scrubbers.push(scrubber);
  scrubber.start(delayMs);
  return scrubber;
}

const codes = (): string[] => alarms.list().map(({ code }) => code);
const iso = (at: number): string => new Date(at).toISOString();
const readOf = (): number[][] => subjects.map((subject) => subject.pieces);

/** Has the first subject rest behind so many pieces, until what it gives is called. */
function restBehind(pieces: number): () => void {
  const [first] = subjects;
  if (first === undefined) throw new Error('no subject');
  const read = first.read.bind(first);
  first.read = async (at, pace) => {
    if (first.pieces.length >= pieces) await pace(1024 * 1024 * mebibyte);
    return read(at, pace);
  };
  return () => {
    first.read = read;
  };
}

it('gives others a turn between two steps that read nothing', async () => {
  const endless = new FakeSubject('one', 1);
  let [turns, steps] = [0, 0];
  endless.read = async () => {
    steps += 1;
    const next = turns > 3 || steps > 1_000_000 ? null : 'on';
    return { next, found: [], repaired: 0, lacksRoom: null, extras: [], again: 0 };
  };
  subjects = [endless];
  const scrubber = start(0);
  const running = scrubber.run({ all: false }, never);
  const turn = setInterval(() => (turns += 1), 1);
  await running;
  clearInterval(turn);
  expect(turns).toBeGreaterThan(3);
});

it('reads everything once and is covered since it began', async () => {
  const scrubber = start();
  expect(scrubber.status()).toMatchObject({ coveredAt: null, damaged: 0, wholeBytes: 5 * mebibyte });
  const result = await scrubber.run({ all: false }, never);
  expect(result).toMatchObject({ readBytes: 5 * mebibyte, damaged: 0, folders: [], skipped: false });
  expect(readOf()).toEqual([
    [0, 1, 2],
    [0, 1],
  ]);
  expect(scrubber.status()).toMatchObject({ coveredAt: iso(now), done: true });
});

it('goes on behind what was read before a restart, and begins anew for --all', async () => {
  const slow = { ...defaultScrubOptions, bytesPerSecondMax: 40 * mebibyte };
  const goOn = restBehind(2);
  const first = start(0, { ...slow, periodMs: 1 });
  await until('two pieces were read', () => (subjects[0]?.pieces.length ?? 0) >= 2);
  await first.stop();
  goOn();
  const before = subjects[0]?.pieces.length ?? 0;
  const second = start();
  await second.run({ all: false }, never);
  expect(subjects[0]?.pieces.slice(0, before + 1)).toEqual([0, 1, 2].slice(0, before + 1));
  expect(readOf()).toEqual([
    [0, 1, 2],
    [0, 1],
  ]);
  await second.run({ all: true }, never);
  expect(readOf()).toEqual([
    [0, 1, 2, 0, 1, 2],
    [0, 1, 0, 1],
  ]);
});

it('goes on behind what it has kept when it is killed', async () => {
  restBehind(1);
  const first = start(0, { periodMs: 1, bytesPerSecondMax: 40 * mebibyte });
  await until('a piece was read', () => subjects[0]?.pieces.length === 1 && fs.existsSync(file));
  const kept = fs.readFileSync(file);
  await first.stop();
  fs.writeFileSync(file, kept);
  subjects = [new FakeSubject('one', 3), new FakeSubject('two', 2)];
  await start().run({ all: false }, never);
  expect(readOf()).toEqual([
    [1, 2],
    [0, 1],
  ]);
});

it('begins anew for --all in the middle of a pass as well', async () => {
  const first = start(0, { periodMs: 1, bytesPerSecondMax: 40 * mebibyte });
  await until('a piece was read', () => (subjects[0]?.pieces.length ?? 0) >= 1);
  const result = await first.run({ all: true }, never);
  expect(subjects[0]?.pieces.slice(-3)).toEqual([0, 1, 2]);
  expect(subjects[0]?.pieces.length).toBeGreaterThan(3);
  expect(result.readBytes).toBe(5 * mebibyte);
});

it('stays where it is when a command is interrupted', async () => {
  const scrubber = start();
  const abort = new AbortController();
  abort.abort(new CodedError('LINK_CLOSED', 'the command was interrupted'));
  await expect(scrubber.run({ all: false }, abort.signal)).rejects.toMatchObject({ code: 'LINK_CLOSED' });
  expect(scrubber.status().coveredAt).toBeNull();
  await scrubber.run({ all: false }, never);
  expect(subjects[1]?.pieces).toEqual([0, 1]);
});

it('ends a command with an error when the program stops before everything was read', async () => {
  const scrubber = start();
  const [one] = subjects;
  if (one === undefined) throw new Error('no subject');
  const read = one.read.bind(one);
  one.read = async (at, pace) => {
    if (at === '1') void scrubber.stop();
    return read(at, pace);
  };
  await expect(scrubber.run({ all: false }, never)).rejects.toMatchObject({ code: 'NOT_RUNNING' });
  await scrubber.stop();
  await expect(scrubber.run({ all: false }, never)).rejects.toMatchObject({ code: 'NOT_RUNNING' });
  one.read = read;
  expect(await start().run({ all: false }, never)).toMatchObject({ readBytes: 5 * mebibyte });
  expect(readOf()).toEqual([
    [0, 1, 2],
    [0, 1],
  ]);
});

it('ends a repair that reads long when the program stops', async () => {
  const warnings: unknown[] = [];
  logger = Object.assign(Object.create(silentLogger) as Logger, {
    warn: (fields: unknown) => warnings.push(fields),
  });
  const scrubber = start();
  const [one] = subjects;
  if (one === undefined) throw new Error('no subject');
  one.repair = async (between) => {
    void scrubber.stop();
    for (;;) await between();
  };
  await expect(scrubber.run({ all: false }, never)).rejects.toMatchObject({ code: 'NOT_RUNNING' });
  expect(readOf()).toEqual([[], []]);
  expect(warnings).toEqual([]);
});

it('counts what a step read that failed once only', async () => {
  const [one] = subjects;
  if (one === undefined) throw new Error('no subject');
  const read = one.read.bind(one);
  let failures = 2;
  one.read = async (at, pace) => {
    const step = await read(at, pace);
    if (at !== '1' || failures === 0) return step;
    failures -= 1;
    throw new CodedError('DISK_FAILED', 'the disk is out of order');
  };
  expect(await start().run({ all: false }, never)).toMatchObject({ readBytes: 5 * mebibyte, skipped: false });
  expect(one.pieces).toEqual([0, 1, 1, 1, 2]);
});

it('does not let a command wait for a slow step', async () => {
  const scrubber = start(0, { ...defaultScrubOptions, bytesPerSecondMax: 100 });
  await until('it reads', () => scrubber.status().readBytes > 0);
  await scrubber.run({ all: false }, never);
  expect(scrubber.status().done).toBe(true);
});

it('alarms as long as something is damaged, and as long as there are files that nobody stored', async () => {
  const [one] = subjects;
  if (one === undefined) throw new Error('no subject');
  one.damaged = 1;
  one.strangers = ['current/x'];
  const scrubber = start();
  expect(codes()).toEqual(['COPY_DAMAGED']);
  const result = await scrubber.run({ all: true }, never);
  expect(result).toMatchObject({
    damaged: 1,
    folders: [{ name: 'folder one', damaged: 1, files: ['a.jpg'], found: [], extras: ['current/x'] }],
  });
  expect(codes()).toEqual(['COPY_DAMAGED', 'FILE_UNKNOWN']);
  await scrubber.stop();
  alarms = new AlarmBoard({ logger: silentLogger, now: () => now });
  const again = start();
  expect(codes()).toEqual(['COPY_DAMAGED', 'FILE_UNKNOWN']);
  one.damaged = 0;
  one.strangers = [];
  await again.run({ all: true }, never);
  expect(codes()).toEqual([]);
});

it('names what it found in a pass, whole again or not, until the next one begins', async () => {
  const [one] = subjects;
  if (one === undefined) throw new Error('no subject');
  one.rotten = ['a.jpg (changed)'];
  const scrubber = start();
  expect(await scrubber.run({ all: true }, never)).toMatchObject({
    found: 1,
    folders: [{ name: 'folder one', damaged: 0, found: ['a.jpg (changed)'] }],
  });
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ found: 0, folders: [] });
});

it('says that there is no room to make whole what is damaged, until there is', async () => {
  const scrubber = start();
  const [one] = subjects;
  if (one === undefined) throw new Error('no subject');
  one.damaged = 2;
  one.isFull = true;
  const why = 'the quota is used up';
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ folders: [{ lacksRoom: why }] });
  expect(scrubber.status().lacksRoom).toBe(why);
  expect(alarms.list()[0]?.message).toContain(`no room to make them whole, which is tried again: ${why}`);
  one.isFull = false;
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ folders: [{ lacksRoom: null }] });
  expect([scrubber.status().lacksRoom, codes()]).toEqual([null, ['COPY_DAMAGED']]);
});

it('tries what is damaged again when a command asks, and the alarm is over', async () => {
  const [one] = subjects;
  if (one === undefined) throw new Error('no subject');
  one.damaged = 2;
  const scrubber = start();
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ damaged: 2 });
  one.mendable = true;
  expect(await scrubber.run({ all: false }, never)).toMatchObject({ damaged: 0, folders: [] });
  expect(codes()).toEqual([]);
});

it('skips what cannot be read, with an alarm, and does not count it as covered', async () => {
  const [one, two] = subjects;
  if (one === undefined || two === undefined) throw new Error('no subject');
  one.failures = 3;
  const scrubber = start();
  expect(await scrubber.run({ all: false }, never)).toMatchObject({ skipped: true });
  expect(two.pieces).toEqual([0, 1]);
  expect(codes()).toEqual(['DISK_FAILED']);
  expect(scrubber.status().coveredAt).toBeNull();
  await scrubber.run({ all: true }, never);
  expect(codes()).toEqual([]);
  expect(scrubber.status().coveredAt).toBe(iso(now));
});

it('calls nothing read through while something that is stored cannot be opened', async () => {
  isPartHidden = true;
  const scrubber = start();
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ skipped: true });
  expect(scrubber.status().coveredAt).toBeNull();
  isPartHidden = false;
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ skipped: false });
});

it('shows names of strangers so that a terminal does nothing but print them, and counts up to a hundred', async () => {
  const [one, two] = subjects;
  if (one === undefined || two === undefined) throw new Error('no subject');
  one.strangers = ['current/\u001B[2J\u00C3\u00BC'];
  two.strangers = Array.from({ length: 101 }, (_, at) => `current/${at}`);
  const result = await start().run({ all: true }, never);
  expect(result.folders[0]?.extras).toEqual(['current/\\x1b[2J\u00FC']);
  expect(alarms.list().map(({ message }) => message)).toEqual([
    'folder one: a file is there that nobody stored: current/\\x1b[2J\u00FC; left alone',
    expect.stringContaining('at least 100 files are there'),
  ]);
});

it('reads again in time after the clock on the wall was set back while it ran', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const right = now;
    now += 1000 * 86_400_000;
    const scrubber = start(0);
    await scrubber.run({ all: false }, never);
    now = right;
    await vi.advanceTimersByTimeAsync(repairIntervalMs);
    now += defaultScrubOptions.periodMs;
    await vi.advanceTimersByTimeAsync(repairIntervalMs);
    for (let second = 0; second < 60; second += 1) {
      await vi.advanceTimersByTimeAsync(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(subjects[0]?.pieces).toEqual([0, 1, 2, 0, 1, 2]);
  } finally {
    vi.useRealTimers();
  }
});

it('alarms when something was not read for two periods', async () => {
  const first = start();
  await first.run({ all: false }, never);
  expect(codes()).toEqual([]);
  await first.stop();
  now += 2 * defaultScrubOptions.periodMs + 1;
  const second = start();
  await second.stop();
  expect(codes()).toEqual(['SCRUB_LATE']);
  const third = start();
  await third.run({ all: true }, never);
  expect(codes()).toEqual([]);
});

it('begins anew when its memory is damaged', async () => {
  await start().run({ all: false }, never);
  await scrubbers[0]?.stop();
  fs.writeFileSync(file, '{"startedAt": "no');
  expect(start().status()).toMatchObject({ coveredAt: null, readBytes: 0, done: false });
});

it('takes nothing for read while the disk is not there, and goes on where it stood when it is back', async () => {
  await start().run({ all: false }, never);
  await scrubbers[0]?.stop();
  isHere = false;
  const [everything, coveredAt] = [subjects, now];
  subjects = [];
  now += 1000;
  const scrubber = start(0);
  await expect(scrubber.run({ all: true }, never)).rejects.toMatchObject({ code: 'DISK_FAILED' });
  expect(scrubber.status().coveredAt).toBeNull();
  isHere = true;
  subjects = everything;
  const abort = new AbortController();
  const run = scrubber.run({ all: false }, abort.signal);
  expect(scrubber.status().coveredAt).toBe(iso(coveredAt));
  await run;
  expect(scrubber.status().coveredAt).toBe(iso(now));
});
