import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ChunkFilter } from '../../../agent/seal/chunk-filter.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';

it('denies no chunk that was added', () => {
  const ids = fc.array(fc.uint8Array({ minLength: 16, maxLength: 16 }), { maxLength: 50 });
  fc.assert(
    fc.property(ids, (some) => {
      const filter = new ChunkFilter();
      const keys = some.map((id) => Buffer.from(id).toString('latin1'));
      for (const key of keys) filter.add(key);
      expect(keys.every((key) => filter.mayHold(key))).toBe(true);
    }),
    { numRuns: 20 },
  );
});

it('denies nearly every chunk that was not added, with 1 GiB in chunks of 4 KiB', () => {
  const filter = new ChunkFilter();
  const key = (at: number): string => ids.toString('latin1', at * 16, at * 16 + 16);
  const [added, others] = [262_144, 20_000];
  const ids = seededBytes('ids', (added + others) * 16);
  for (let at = 0; at < added; at += 1) filter.add(key(at));
  let wrong = 0;
  for (let at = added; at < added + others; at += 1) wrong += filter.mayHold(key(at)) ? 1 : 0;
  expect(wrong).toBeLessThan(others / 1000);
});
