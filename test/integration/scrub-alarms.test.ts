import { afterEach, beforeEach, expect, it } from 'vitest';
import { scrubExitCode } from '../../receiver/cli/scrub-command.ts';
import { defaultScrubOptions } from '../../receiver/scrub/scrub-state.ts';
import { ScrubberBench } from '../support/scrubber-bench.ts';

let bench: ScrubberBench;

beforeEach(() => {
  bench = new ScrubberBench();
});
afterEach(async () => {
  await bench.stop();
});

const never = new AbortController().signal;
const iso = (at: number): string => new Date(at).toISOString();

it('alarms as long as something is damaged, and as long as there are files that nobody stored', async () => {
  const { one } = bench;
  one.damaged = 1;
  one.strangers = ['current/x'];
  const scrubber = bench.start();
  expect(bench.codes()).toEqual(['COPY_DAMAGED']);
  const result = await scrubber.run({ all: true }, never);
  expect(result).toMatchObject({
    damaged: 1,
    folders: [{ name: 'folder one', damaged: 1, files: ['a.jpg'], found: [], extras: ['current/x'] }],
  });
  expect(bench.codes()).toEqual(['COPY_DAMAGED', 'FILE_UNKNOWN']);
  await scrubber.stop();
  bench.alarms = bench.newAlarms();
  const again = bench.start();
  expect(bench.codes()).toEqual(['COPY_DAMAGED', 'FILE_UNKNOWN']);
  one.damaged = 0;
  one.strangers = [];
  await again.run({ all: true }, never);
  expect(bench.codes()).toEqual([]);
});

it('names what it found in a pass, whole again or not, until the next one begins', async () => {
  const { one } = bench;
  one.rotten = ['a.jpg (changed)'];
  const scrubber = bench.start();
  expect(await scrubber.run({ all: true }, never)).toMatchObject({
    found: 1,
    folders: [{ name: 'folder one', damaged: 0, found: ['a.jpg (changed)'] }],
  });
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ found: 0, folders: [] });
});

it('says that there is no room to make whole what is damaged, until there is', async () => {
  const scrubber = bench.start();
  const { one } = bench;
  one.damaged = 2;
  one.isFull = true;
  const why = 'the quota is used up';
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ folders: [{ lacksRoom: why }] });
  expect(scrubber.status().lacksRoom).toBe(why);
  expect(bench.alarms.list()[0]?.message).toContain(
    `no room to make them whole, which is tried again: ${why}`,
  );
  one.isFull = false;
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ folders: [{ lacksRoom: null }] });
  expect([scrubber.status().lacksRoom, bench.codes()]).toEqual([null, ['COPY_DAMAGED']]);
});

it('tries what is damaged again when a command asks, and the alarm is over', async () => {
  const { one } = bench;
  one.damaged = 2;
  const scrubber = bench.start();
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ damaged: 2 });
  one.mendable = true;
  expect(await scrubber.run({ all: false }, never)).toMatchObject({ damaged: 0, folders: [] });
  expect(bench.codes()).toEqual([]);
});

it('skips what cannot be read, with an alarm, and does not count it as covered', async () => {
  const { one, two } = bench;
  one.failures = 3;
  const scrubber = bench.start();
  expect(await scrubber.run({ all: false }, never)).toMatchObject({ skipped: true });
  expect(two.pieces).toEqual([0, 1]);
  expect(bench.codes()).toEqual(['DISK_FAILED']);
  expect(scrubber.status().coveredAt).toBeNull();
  await scrubber.run({ all: true }, never);
  expect(bench.codes()).toEqual([]);
  expect(scrubber.status().coveredAt).toBe(iso(bench.now));
});

it('calls nothing read through while something that is stored cannot be opened', async () => {
  bench.isPartHidden = true;
  const scrubber = bench.start();
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ skipped: true });
  expect(scrubber.status().coveredAt).toBeNull();
  bench.isPartHidden = false;
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ skipped: false });
});

it('shows names of strangers so that a terminal does nothing but print them, and counts up to a hundred', async () => {
  const { one, two } = bench;
  one.strangers = ['current/\u001B[2J\u00C3\u00BC'];
  two.strangers = Array.from({ length: 101 }, (_, at) => `current/${at}`);
  const result = await bench.start().run({ all: true }, never);
  expect(result.folders[0]?.extras).toEqual(['current/\\x1b[2J\u00FC']);
  expect(bench.alarms.list().map(({ message }) => message)).toEqual([
    'folder one: a file is there that nobody stored: current/\\x1b[2J\u00FC; left alone',
    expect.stringContaining('at least 100 files are there'),
  ]);
});

it('alarms when something was not read for two periods', async () => {
  const first = bench.start();
  await first.run({ all: false }, never);
  expect(bench.codes()).toEqual([]);
  await first.stop();
  bench.now += 2 * defaultScrubOptions.periodMs + 1;
  const second = bench.start();
  await second.stop();
  expect(bench.codes()).toEqual(['SCRUB_LATE']);
  const third = bench.start();
  await third.run({ all: true }, never);
  expect(bench.codes()).toEqual([]);
});

it('reads on behind what it cannot read through, says so, and tries it again in the next pass', async () => {
  bench.one.isChanging = true;
  const scrubber = bench.start();
  const report = await scrubber.run({ all: false }, never);
  expect(report).toMatchObject({ skipped: true, damaged: 0 });
  expect(scrubExitCode(report)).toBe(1);
  expect(bench.readOf()).toEqual([
    [0, 1, 2],
    [0, 1],
  ]);
  expect(scrubber.status()).toMatchObject({ done: true, coveredAt: null });
  bench.one.isChanging = false;
  expect(await scrubber.run({ all: false }, never)).toMatchObject({ skipped: false });
  expect(bench.one.pieces).toEqual([0, 1, 2, 0, 1, 2]);
  expect(scrubber.status().coveredAt).toBe(iso(bench.now));
});

it('still says that there is no room when a step found more and did not try to the end to make it whole', async () => {
  const { one } = bench;
  one.damaged = 2;
  one.isFull = true;
  const scrubber = bench.start();
  one.rotten = ['a.jpg (changed)'];
  expect(await scrubber.run({ all: true }, never)).toMatchObject({ found: 1 });
  expect(scrubber.status().lacksRoom).toBe('the quota is used up');
});

it('says of a step that finds damage whether there is room to make that whole', async () => {
  const { one } = bench;
  one.damaged = 2;
  const scrubber = bench.start();
  one.rotten = ['a.jpg (changed)'];
  one.repairOfStep = { repairTried: false, lacksRoom: 'the disk is full' };
  await scrubber.run({ all: true }, never);
  expect(scrubber.status().lacksRoom).toBe('the disk is full');
  one.isFull = true;
  one.rotten = ['b.jpg (changed)'];
  one.repairOfStep = { repairTried: true, lacksRoom: null };
  await scrubber.run({ all: true }, never);
  expect(scrubber.status().lacksRoom).toBeNull();
});
