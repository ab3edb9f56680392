import { expect, it } from 'vitest';
import fc from 'fast-check';
import {
  countPoint,
  fullPointRate,
  resumedPointRate,
  type PointRate,
} from '../../../receiver/points/point-rate.ts';

const hourMs = 3_600_000;

function allowedOf(count: number, rate: PointRate, steadyMs: number): { allowed: number; rate: PointRate } {
  let allowed = 0;
  for (let at = 0; at < count; at += 1) {
    const counted = countPoint(rate, steadyMs);
    ({ rate } = counted);
    if (counted.allowed) allowed += 1;
  }
  return { allowed, rate };
}

it('lets 24 points in at once, then 6 an hour, and saves up no more than 24', () => {
  const first = allowedOf(100, fullPointRate(0), 0);
  expect(first.allowed).toBe(24);
  const second = allowedOf(100, first.rate, hourMs);
  expect(second.allowed).toBe(6);
  expect(allowedOf(100, second.rate, 1000 * hourMs).allowed).toBe(24);
});

it('is after a restart what it was before, by when the points that are held were received', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 60 }),
      fc.nat(200),
      (minutes, later) => {
        const base = 1_800_000_000_000;
        let rate = fullPointRate(0);
        const held: number[] = [];
        for (const minute of minutes.toSorted((a, b) => a - b)) {
          const counted = countPoint(rate, minute * 60_000);
          if (counted.allowed) held.push(base + minute * 60_000);
          ({ rate } = counted);
        }
        const nowMs = (Math.max(0, ...minutes) + later) * 60_000;
        const steadyAfter = 5000;
        const resumed = resumedPointRate(held, base + nowMs, steadyAfter);
        expect(allowedOf(100, resumed, steadyAfter).allowed).toBe(allowedOf(100, rate, nowMs).allowed);
      },
    ),
  );
});

it('is not worse than full because the clock went back', () => {
  expect(allowedOf(100, resumedPointRate([], 0, 7), 7).allowed).toBe(24);
  expect(allowedOf(100, resumedPointRate([500, 600], 10, 7), 7).allowed).toBe(22);
});
