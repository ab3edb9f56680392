import fc from 'fast-check';
import { expect, it } from 'vitest';
import { padmeLength } from '../../shared/sealing/padme.ts';

it('gives the lengths of the paper', () => {
  // E = floor(log2 L), S = floor(log2 E) + 1, the last E - S bits are zero
  expect([0, 1, 2, 3, 8, 9, 10, 100, 1000, 1_000_000].map(padmeLength)).toEqual([
    0, 1, 2, 3, 8, 10, 10, 104, 1024, 1_015_808,
  ]);
  expect(padmeLength(16 * 1024 * 1024 + 1)).toBe(16 * 1024 * 1024 + 2 ** 19);
});

it('never shortens, is its own result, keeps order and costs at most 12 %', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 40 }), fc.nat({ max: 5000 }), (bytes, more) => {
      const padded = padmeLength(bytes);
      expect(padded).toBeGreaterThanOrEqual(bytes);
      expect(padmeLength(padded)).toBe(padded);
      expect(padmeLength(bytes + more)).toBeGreaterThanOrEqual(padded);
      expect(padded).toBeLessThanOrEqual(bytes * 1.12);
    }),
  );
});

it('leaves few lengths to tell apart', () => {
  const lengths = new Set<number>();
  for (let bytes = 1_000_000; bytes < 2_000_000; bytes += 100) lengths.add(padmeLength(bytes));
  expect(lengths.size).toBeLessThan(60);
});
