import fc from 'fast-check';
import { expect, it } from 'vitest';
import { collectEvery, exposedCollector } from '../../shared/io/garbage-collection.ts';

it('collects once when so many bytes have passed, and counts anew', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.array(fc.nat(60)), (everyBytes, passed) => {
      let collections = 0;
      let since = 0;
      const pass = collectEvery(everyBytes, () => (collections += 1));
      for (const bytes of passed) {
        const before = collections;
        pass(bytes);
        since += bytes;
        expect(collections - before).toBe(since >= everyBytes ? 1 : 0);
        if (since >= everyBytes) since = 0;
      }
    }),
  );
});

it('gives out the collector that frees what nobody holds', () => {
  const gc = exposedCollector();
  let held: Buffer[] | null = Array.from({ length: 8 }, () => Buffer.alloc(1024 * 1024));
  gc();
  const heldBytes = process.memoryUsage().arrayBuffers;
  expect(held.length).toBe(8);
  held = null;
  gc();
  expect(process.memoryUsage().arrayBuffers).toBeLessThan(heldBytes - 7 * 1024 * 1024);
});
