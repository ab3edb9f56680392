import fc from 'fast-check';
import { expect, it } from 'vitest';
import { backoffMs } from '../../shared/link/backoff.ts';

const limits = { minMs: 500, maxMs: 60_000 };

it('doubles up to its maximum', () => {
  const waits = [1, 2, 3, 7, 8, 9, 1000, 1e9].map((failures) => backoffMs(failures, 0.999_999, limits));
  expect(waits).toEqual([500, 1000, 2000, 32_000, 60_000, 60_000, 60_000, 60_000]);
});

it('lies between half and the whole of the step, wherever chance falls', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (failures, random) => {
        const whole = backoffMs(failures, 1, limits);
        const wait = backoffMs(failures, random, limits);
        expect(wait).toBeGreaterThanOrEqual(whole / 2 - 1);
        expect(wait).toBeLessThanOrEqual(whole);
        expect(wait).toBeGreaterThanOrEqual(limits.minMs / 2);
      },
    ),
  );
});
