import fs from 'node:fs';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { defaultScrubOptions } from '../../receiver/scrub/scrub-state.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { silentLogger, type Logger } from '../../shared/io/logger.ts';
import { FakeSubject, mebibyte, ScrubberBench } from '../support/scrubber-bench.ts';
import { until } from '../support/until.ts';

/** So long it sleeps at most. */
const repairIntervalMs = 300_000;

let bench: ScrubberBench;

beforeEach(() => {
  bench = new ScrubberBench();
});
afterEach(async () => {
  await bench.stop();
});

const never = new AbortController().signal;
const iso = (at: number): string => new Date(at).toISOString();

/** Has the first subject rest behind so many pieces, until what it gives is called. */
function restBehind(pieces: number): () => void {
  const { one: first } = bench;
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
    const nothing = { found: [], repaired: 0, repairTried: false, lacksRoom: null, extras: [] };
    return { ...nothing, next, again: 0, skipped: false };
  };
  bench.subjects = [endless];
  const scrubber = bench.start(0);
  const running = scrubber.run({ all: false }, never);
  const turn = setInterval(() => (turns += 1), 1);
  await running;
  clearInterval(turn);
  expect(turns).toBeGreaterThan(3);
});

it('reads everything once and is covered since it began', async () => {
  const scrubber = bench.start();
  expect(scrubber.status()).toMatchObject({ coveredAt: null, damaged: 0, wholeBytes: 5 * mebibyte });
  const result = await scrubber.run({ all: false }, never);
  expect(result).toMatchObject({ readBytes: 5 * mebibyte, damaged: 0, folders: [], skipped: false });
  expect(bench.readOf()).toEqual([
    [0, 1, 2],
    [0, 1],
  ]);
  expect(scrubber.status()).toMatchObject({ coveredAt: iso(bench.now), done: true });
});

it('goes on behind what was read before a restart, and begins anew for --all', async () => {
  const slow = { ...defaultScrubOptions, bytesPerSecondMax: 40 * mebibyte };
  const goOn = restBehind(2);
  const first = bench.start(0, { ...slow, periodMs: 1 });
  await until('two pieces were read', () => (bench.subjects[0]?.pieces.length ?? 0) >= 2);
  await first.stop();
  goOn();
  const before = bench.subjects[0]?.pieces.length ?? 0;
  const second = bench.start();
  await second.run({ all: false }, never);
  expect(bench.subjects[0]?.pieces.slice(0, before + 1)).toEqual([0, 1, 2].slice(0, before + 1));
  expect(bench.readOf()).toEqual([
    [0, 1, 2],
    [0, 1],
  ]);
  await second.run({ all: true }, never);
  expect(bench.readOf()).toEqual([
    [0, 1, 2, 0, 1, 2],
    [0, 1, 0, 1],
  ]);
});

it('goes on behind what it has kept when it is killed', async () => {
  restBehind(1);
  const first = bench.start(0, { periodMs: 1, bytesPerSecondMax: 40 * mebibyte });
  await until('a piece was read', () => bench.subjects[0]?.pieces.length === 1 && fs.existsSync(bench.file));
  const kept = fs.readFileSync(bench.file);
  await first.stop();
  fs.writeFileSync(bench.file, kept);
  bench.subjects = [new FakeSubject('one', 3), new FakeSubject('two', 2)];
  await bench.start().run({ all: false }, never);
  expect(bench.readOf()).toEqual([
    [1, 2],
    [0, 1],
  ]);
});

it('begins anew for --all in the middle of a pass as well', async () => {
  const first = bench.start(0, { periodMs: 1, bytesPerSecondMax: 40 * mebibyte });
  await until('a piece was read', () => (bench.subjects[0]?.pieces.length ?? 0) >= 1);
  const result = await first.run({ all: true }, never);
  expect(bench.subjects[0]?.pieces.slice(-3)).toEqual([0, 1, 2]);
  expect(bench.subjects[0]?.pieces.length).toBeGreaterThan(3);
  expect(result.readBytes).toBe(5 * mebibyte);
});

it('stays where it is when a command is interrupted', async () => {
  const scrubber = bench.start();
  const abort = new AbortController();
  abort.abort(new CodedError('LINK_CLOSED', 'the command was interrupted'));
  await expect(scrubber.run({ all: false }, abort.signal)).rejects.toMatchObject({ code: 'LINK_CLOSED' });
  expect(scrubber.status().coveredAt).toBeNull();
  await scrubber.run({ all: false }, never);
  expect(bench.subjects[1]?.pieces).toEqual([0, 1]);
});

it('ends a command with an error when the program stops before everything was read', async () => {
  const scrubber = bench.start();
  const { one } = bench;
  const read = one.read.bind(one);
  one.read = async (at, pace) => {
    if (at === '1') void scrubber.stop();
    return read(at, pace);
  };
  await expect(scrubber.run({ all: false }, never)).rejects.toMatchObject({ code: 'NOT_RUNNING' });
  await scrubber.stop();
  await expect(scrubber.run({ all: false }, never)).rejects.toMatchObject({ code: 'NOT_RUNNING' });
  one.read = read;
  expect(await bench.start().run({ all: false }, never)).toMatchObject({ readBytes: 5 * mebibyte });
  expect(bench.readOf()).toEqual([
    [0, 1, 2],
    [0, 1],
  ]);
});

it('ends a repair that reads long when the program stops', async () => {
  const warnings: unknown[] = [];
  bench.logger = Object.assign(Object.create(silentLogger) as Logger, {
    warn: (fields: unknown) => warnings.push(fields),
  });
  const scrubber = bench.start();
  const { one } = bench;
  one.repair = async (between) => {
    void scrubber.stop();
    for (;;) await between();
  };
  await expect(scrubber.run({ all: false }, never)).rejects.toMatchObject({ code: 'NOT_RUNNING' });
  expect(bench.readOf()).toEqual([[], []]);
  expect(warnings).toEqual([]);
});

it('counts what a step read that failed once only', async () => {
  const { one } = bench;
  const read = one.read.bind(one);
  let failures = 2;
  one.read = async (at, pace) => {
    const step = await read(at, pace);
    if (at !== '1' || failures === 0) return step;
    failures -= 1;
    throw new CodedError('DISK_FAILED', 'the disk is out of order');
  };
  expect(await bench.start().run({ all: false }, never)).toMatchObject({
    readBytes: 5 * mebibyte,
    skipped: false,
  });
  expect(one.pieces).toEqual([0, 1, 1, 1, 2]);
});

it('does not let a command wait for a slow step', async () => {
  const scrubber = bench.start(0, { ...defaultScrubOptions, bytesPerSecondMax: 100 });
  await until('it reads', () => scrubber.status().readBytes > 0);
  await scrubber.run({ all: false }, never);
  expect(scrubber.status().done).toBe(true);
});

it('reads again in time after the clock on the wall was set back while it ran', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const right = bench.now;
    bench.now += 1000 * 86_400_000;
    const scrubber = bench.start(0);
    await scrubber.run({ all: false }, never);
    bench.now = right;
    await vi.advanceTimersByTimeAsync(repairIntervalMs);
    bench.now += defaultScrubOptions.periodMs;
    await vi.advanceTimersByTimeAsync(repairIntervalMs);
    for (let second = 0; second < 60; second += 1) {
      await vi.advanceTimersByTimeAsync(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(bench.subjects[0]?.pieces).toEqual([0, 1, 2, 0, 1, 2]);
  } finally {
    vi.useRealTimers();
  }
});

it('begins anew when its memory is damaged', async () => {
  await bench.start().run({ all: false }, never);
  await bench.stop();
  fs.writeFileSync(bench.file, '{"startedAt": "no');
  expect(bench.start().status()).toMatchObject({ coveredAt: null, readBytes: 0, done: false });
});

it('takes nothing for read while the disk is not there, and goes on where it stood when it is back', async () => {
  await bench.start().run({ all: false }, never);
  await bench.stop();
  bench.isHere = false;
  const [everything, coveredAt] = [bench.subjects, bench.now];
  bench.subjects = [];
  bench.now += 1000;
  const scrubber = bench.start(0);
  await expect(scrubber.run({ all: true }, never)).rejects.toMatchObject({ code: 'DISK_FAILED' });
  expect(scrubber.status().coveredAt).toBeNull();
  bench.isHere = true;
  bench.subjects = everything;
  const abort = new AbortController();
  const run = scrubber.run({ all: false }, abort.signal);
  expect(scrubber.status().coveredAt).toBe(iso(coveredAt));
  await run;
  expect(scrubber.status().coveredAt).toBe(iso(bench.now));
});
