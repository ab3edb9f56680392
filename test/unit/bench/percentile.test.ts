import { expect, it } from 'vitest';
import { percentile } from '../../bench/percentile.ts';

it('is the smallest value that the share of all values do not exceed', () => {
  const values = Array.from({ length: 200 }, (_, at) => 200 - at);
  expect(percentile(values, 0.5)).toBe(100);
  expect(percentile(values, 0.99)).toBe(198);
  expect(percentile(values, 1)).toBe(200);
  expect(percentile([7], 0.01)).toBe(7);
  expect(() => percentile([], 0.5)).toThrow(RangeError);
});
