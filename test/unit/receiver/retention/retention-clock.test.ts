import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  advanceClock,
  clockGap,
  resumeClock,
  type RetentionClock,
} from '../../../../receiver/retention/retention-clock.ts';

const [hourMs, dayMs, yearMs] = [3_600_000, 86_400_000, 365 * 86_400_000];
const begun = Date.parse('2026-01-01T00:00:00Z');

const anyStep = fc.record({
  restart: fc.boolean(),
  elapsedMs: fc.integer({ min: 0, max: 40 * dayMs }),
  jumpMs: fc.oneof(fc.constant(0), fc.integer({ min: -2 * yearMs, max: 2 * yearMs })),
});

it('never goes back, and in a day of steady time gains two days at most, whatever the wall clock says', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 30 }), (steps) => {
      let wall = begun;
      let clock = resumeClock(null, wall);
      for (const { restart, elapsedMs, jumpMs } of steps) {
        wall += elapsedMs + jumpMs;
        const next = restart ? resumeClock(clock, wall) : advanceClock(clock, wall, elapsedMs);
        expect(next.nowMs).toBeGreaterThanOrEqual(clock.nowMs);
        const steadyMs = restart ? dayMs : elapsedMs;
        expect(next.nowMs - clock.nowMs).toBeLessThanOrEqual(2 * steadyMs);
        clock = next;
      }
    }),
  );
});

it('follows a wall clock that runs evenly', () => {
  let clock = resumeClock(null, begun);
  for (let hour = 1; hour <= 100; hour += 1) {
    clock = advanceClock(clock, begun + hour * hourMs, hourMs);
    expect(clock.nowMs).toBe(begun + hour * hourMs);
  }
  expect(clockGap(clock, begun + 100 * hourMs)).toBeNull();
});

it('gains a day or two from a jump of a year, tells the gap, and catches up in half a year', () => {
  let clock: RetentionClock = advanceClock({ nowMs: begun }, begun + yearMs, hourMs);
  expect(clock.nowMs).toBe(begun + 2 * hourMs);
  expect(clockGap(clock, begun + yearMs)).toEqual({ direction: 'ahead', gapMs: yearMs - 2 * hourMs });
  clock = resumeClock({ nowMs: begun }, begun + yearMs);
  expect(clock.nowMs).toBe(begun + 2 * dayMs);
  for (let day = 0; day < 365; day += 1)
    clock = advanceClock(clock, begun + yearMs + (day + 1) * dayMs, dayMs);
  expect(clockGap(clock, begun + 2 * yearMs)).toBeNull();
});

it('stands still behind a wall clock that was set back, and tells the gap', () => {
  const clock = advanceClock({ nowMs: begun }, begun - yearMs, dayMs);
  expect(clock.nowMs).toBe(begun);
  expect(clockGap(clock, begun - yearMs)).toEqual({ direction: 'behind', gapMs: yearMs });
});
