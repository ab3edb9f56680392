import fc from 'fast-check';
import { expect, it } from 'vitest';
import { appendExtent, extentsLength, type Extent } from '../../shared/sealing/extents.ts';

it('names the same bytes in the same order, in as few extents as there are breaks', () => {
  const chunk = fc.record({
    pack: fc.nat({ max: 2 }),
    offset: fc.nat({ max: 3 }),
    length: fc.integer({ min: 0, max: 2 }),
  });
  fc.assert(
    fc.property(fc.array(chunk), (chunks) => {
      const extents: Extent<number>[] = [];
      for (const one of chunks) appendExtent(extents, one);
      const bytes = (list: readonly Extent<number>[]): string[] =>
        list.flatMap(({ pack, offset, length }) =>
          Array.from({ length }, (_, at) => `${pack}:${offset + at}`),
        );
      expect(bytes(extents)).toEqual(bytes(chunks));
      expect(extentsLength(extents)).toBe(bytes(chunks).length);
      for (const [at, extent] of extents.entries()) {
        const next = extents[at + 1];
        expect(next?.pack === extent.pack && next.offset === extent.offset + extent.length).toBe(false);
      }
    }),
  );
});

it('leaves the extents that it is given as they are', () => {
  const given = { pack: 'a', offset: 0, length: 5 };
  const extents: Extent<string>[] = [];
  appendExtent(extents, given);
  appendExtent(extents, { pack: 'a', offset: 5, length: 5 });
  expect(given.length).toBe(5);
  expect(extents).toEqual([{ pack: 'a', offset: 0, length: 10 }]);
});
