import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ChunkCutter } from '../../../shared/chunking/chunk-cutter.ts';
import type { ChunkingParameters } from '../../../shared/chunking/chunking-parameters.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';

/** So near to each other that chunks end at each of them, and right before and behind. */
const narrow: ChunkingParameters = { name: 'narrow', bytesMin: 14, bytesAverage: 16, bytesMax: 24 };
const wide: ChunkingParameters = { name: 'wide', bytesMin: 64, bytesAverage: 256, bytesMax: 512 };

/** Random bytes, and the same few again and again, which are cut at the longest length. */
const content = fc.oneof(
  fc.string({ maxLength: 8 }).map((seed) => seededBytes(seed, 2000)),
  fc.uint8Array({ minLength: 1, maxLength: 3 }).map((part) => Buffer.alloc(2000, part)),
);

it('tells that a chunk ends with its last byte, and that none does before, from the last bytes alone', () => {
  const lengths = new Set<number>();
  fc.assert(
    fc.property(content, fc.constantFrom(narrow, wide), (bytes, parameters) => {
      const cutter = new ChunkCutter(parameters);
      for (let from = 0; ;) {
        const end = cutter.next(bytes, from);
        if (end < 0) break;
        for (let length = 1; length <= end - from; length += 1)
          expect(cutter.endsChunk(bytes.subarray(from, from + length))).toBe(length === end - from);
        if (parameters === narrow) lengths.add(end - from);
        from = end;
      }
    }),
  );
  // each border has been there
  expect([...lengths].toSorted((a, b) => a - b)).toEqual([15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
});
