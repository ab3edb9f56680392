import { PassThrough } from 'node:stream';
import { expect, it, vi } from 'vitest';
import { createProgressDisplay, describeProgress } from '../../../agent/restore/progress-display.ts';
import { emptyProgress, RateMeter, remainingSeconds } from '../../../agent/restore/restore-progress.ts';

const mib = 1024 * 1024;

it('measures the rate over the last ten seconds', () => {
  const meter = new RateMeter();
  expect(meter.bytesPerSecond()).toBe(0);
  for (let second = 0; second <= 60; second += 1)
    meter.add(second * 1000, second < 50 ? 0 : (second - 50) * mib);
  expect(meter.bytesPerSecond()).toBe(mib);
});

it('tells the remaining time only where there is a rate', () => {
  const progress = { ...emptyProgress(), bytesTotal: 10 * mib, bytes: 4 * mib };
  expect(remainingSeconds(progress, 0)).toBeNull();
  expect(remainingSeconds(progress, mib)).toBe(6);
  expect(remainingSeconds({ ...progress, bytes: 10 * mib }, 0)).toBe(0);
});

it('says how far a restore is', () => {
  const progress = {
    ...emptyProgress(),
    filesTotal: 20_000,
    files: 1204,
    bytesTotal: 300 * mib,
    bytes: 120 * mib,
    failed: 2,
  };
  expect(describeProgress(progress, 2 * mib)).toBe(
    '1,204 of 20,000 files, 120 MiB of 300 MiB, 2 MiB/s, 2 minutes left, 2 failed',
  );
});

it('writes a line every five seconds where there is no terminal', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  try {
    const stream = new PassThrough();
    const display = createProgressDisplay(stream as unknown as NodeJS.WriteStream);
    const progress = { ...emptyProgress(), filesTotal: 2, bytesTotal: mib };
    for (let step = 0; step < 120; step += 1) {
      vi.advanceTimersByTime(100);
      display.update(progress);
    }
    display.note('a note');
    display.stop(progress);
    expect(String(stream.read()).split('\n')).toEqual([
      '0 of 2 files, 0 B of 1 MiB, 0 B/s',
      '0 of 2 files, 0 B of 1 MiB, 0 B/s',
      'a note',
      '',
    ]);
  } finally {
    vi.useRealTimers();
  }
});

it('draws a bar on a terminal and leaves notes above it', () => {
  const stream = Object.assign(new PassThrough(), {
    isTTY: true,
    columns: 120,
    cursorTo: () => true,
    clearLine: () => true,
    moveCursor: () => true,
  });
  const display = createProgressDisplay(stream as unknown as NodeJS.WriteStream);
  const progress = { ...emptyProgress(), filesTotal: 4, files: 2, bytesTotal: 4 * mib, bytes: 2 * mib };
  display.note('before');
  display.update(progress);
  display.stop({ ...progress, files: 4, bytes: 4 * mib });
  const shown = String(stream.read());
  expect(shown).toMatch(/^before\n/);
  expect(shown).toContain('100%  4 of 4 files, 4 MiB of 4 MiB');
});
