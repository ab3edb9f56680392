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

it('gives out the collector that frees what nobody holds', async () => {
  const gc = exposedCollector();
  const lost = new WeakRef({ held: 'by nobody' });
  const held = { by: 'this test' };
  const kept = new WeakRef(held);
  // what a turn has made stays until its end
  await new Promise((resolve) => setImmediate(resolve));
  gc();
  expect(lost.deref()).toBeUndefined();
  expect(kept.deref()).toBe(held);
});
