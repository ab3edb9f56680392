import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { KeptClock } from '../../receiver/retention/kept-clock.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const [hourMs, dayMs] = [3_600_000, 86_400_000];
const begun = Date.parse('2026-01-01T00:00:00Z');

function setUp() {
  const file = path.join(temporaryDirectory(), 'retention-clock.json');
  const now = { wall: begun, steady: 500 };
  const start = (): KeptClock =>
    new KeptClock({ wallNow: () => now.wall, steadyNow: () => now.steady }, { file });
  const pass = (ms: number): void => {
    now.wall += ms;
    now.steady += ms;
  };
  return { file, now, start, pass };
}

it('goes on over restarts where it was stored, and counts the time that it was switched off as a day at most', () => {
  const { now, start, pass } = setUp();
  const first = start();
  pass(10 * hourMs);
  expect(first.nowMs()).toBe(begun + 10 * hourMs);
  expect(first.gap()).toBeNull();
  first.store();
  now.steady = 0;
  now.wall += 30 * dayMs;
  const second = start();
  expect(second.nowMs()).toBe(begun + 10 * hourMs + 2 * dayMs);
  pass(dayMs);
  expect(second.nowMs()).toBe(begun + 10 * hourMs + 4 * dayMs);
});

it('lets a year of the wall clock, in either direction, pass for no more than twice the time that passed', () => {
  for (const year of [365 * dayMs, -365 * dayMs]) {
    const { now, start, pass } = setUp();
    const clock = start();
    now.wall += year;
    pass(hourMs);
    expect(clock.nowMs() - begun).toBeLessThanOrEqual(2 * hourMs);
    expect(clock.nowMs()).toBeGreaterThanOrEqual(begun);
    expect(clock.gap()?.direction).toBe(year > 0 ? 'ahead' : 'behind');
    clock.store();
    expect(start().nowMs() - begun).toBeLessThanOrEqual(2 * hourMs + 2 * dayMs);
  }
});

it('believes the wall clock once where its file is missing', () => {
  const { file, now, start } = setUp();
  start().store();
  now.wall += 400 * dayMs;
  fs.rmSync(file);
  expect([start().nowMs(), start().damagedFile()]).toEqual([now.wall, null]);
});

it('goes on from when its file was stored where that is damaged, and says so until a person removes it', () => {
  for (const text of ['', '{"nowMs":-1}', 'null', '{"nowMs":1.5}']) {
    const { file, now, start, pass } = setUp();
    const first = start();
    // the clock stands still, and is stored so, while the wall clock is wrong
    now.wall += 365 * dayMs;
    pass(hourMs);
    first.store();
    expect(first.damagedFile()).toBeNull();
    const stored = first.nowMs();
    const { mtimeMs } = fs.statSync(file);
    fs.writeFileSync(file, text);
    fs.utimesSync(file, mtimeMs / 1000, mtimeMs / 1000);
    const second = start();
    expect(second.nowMs(), text).toBe(stored + 2 * dayMs);
    expect(second.damagedFile()).toBe(`${file}.damaged`);
    second.store();
    expect(fs.readFileSync(`${file}.damaged`, 'utf8')).toBe(text);
    const third = start();
    expect([third.nowMs() - stored, third.damagedFile()]).toEqual([4 * dayMs, `${file}.damaged`]);
    // killed before a new file was written
    fs.rmSync(file);
    expect(start().nowMs()).toBe(stored + 2 * dayMs);
    third.store();
    fs.rmSync(`${file}.damaged`);
    expect([third.damagedFile(), start().damagedFile()]).toEqual([null, null]);
  }
});

it('does not go ahead of the wall clock because somebody damaged its file by hand', () => {
  const { file, now, start } = setUp();
  start().store();
  fs.writeFileSync(file, 'now');
  expect(fs.statSync(file).mtimeMs).toBeGreaterThan(now.wall);
  expect(start().nowMs()).toBe(now.wall);
});
