import { expect, it } from 'vitest';
import { countPoint, fullPointRate, type PointRate } from '../../../receiver/points/point-rate.ts';

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
