import fs from 'node:fs';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ChunkListBuilder, longestChunks, type ChunkList } from '../../../shared/chunking/chunk-list.ts';
import { fileChunking, type ChunkingParameters } from '../../../shared/chunking/chunking-parameters.ts';
import { gearTable } from '../../../shared/chunking/gear-table.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';

const tiny: ChunkingParameters = { name: 'tiny', bytesMin: 64, bytesAverage: 256, bytesMax: 1024 };

function cut(
  content: Buffer,
  parameters: ChunkingParameters,
  pieces: number[] = [content.length],
): ChunkList {
  const builder = new ChunkListBuilder(parameters);
  let at = 0;
  for (let turn = 0; at < content.length; turn += 1) {
    const length = Math.max(1, pieces[turn % pieces.length] ?? 1);
    builder.update(content.subarray(at, at + length));
    at += length;
  }
  return builder.finish();
}

const seed = fc.string({ maxLength: 8 });

it('cuts the frozen content where it always has', () => {
  const frozen: unknown = JSON.parse(
    fs.readFileSync(new URL('../../fixtures/chunking/fastcdc-256k.json', import.meta.url), 'utf8'),
  );
  const gearHash = createHash('sha256').update(gearTable.join(',')).digest('hex');
  const lengths = cut(seededBytes('frozen cut points', 8 * 1024 * 1024), fileChunking).map(
    ({ length }) => length,
  );
  expect({ gearHash, lengths }).toEqual(frozen);
});

it('gives chunks that are the content, one after the other, within the bounds', () => {
  fc.assert(
    fc.property(seed, fc.nat(20_000), (text, length) => {
      const content = seededBytes(text, length);
      let at = 0;
      const chunks = cut(content, tiny);
      for (const [position, chunk] of chunks.entries()) {
        const bytes = content.subarray(at, at + chunk.length);
        expect(createHash('sha256').update(bytes).digest().equals(chunk.hash)).toBe(true);
        expect(chunk.length).toBeLessThanOrEqual(tiny.bytesMax);
        if (position < chunks.length - 1) expect(chunk.length).toBeGreaterThan(tiny.bytesMin);
        at += chunk.length;
      }
      expect(at).toBe(length);
    }),
  );
});

it('cuts a stream the same in whatever pieces it comes', () => {
  fc.assert(
    fc.property(
      seed,
      fc.nat(20_000),
      fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1 }),
      (text, length, pieces) => {
        const content = seededBytes(text, length);
        expect(cut(content, tiny, pieces)).toEqual(cut(content, tiny));
      },
    ),
  );
});

// How soon cuts meet again after an insertion is a matter of chance: fixed cases, and the middle of them.
it('changes few chunks when bytes are inserted', () => {
  const fresh = Array.from({ length: 101 }, (_, number) => {
    const content = seededBytes(`insertion ${number}`, 60_000);
    const at = (number * 7919) % content.length;
    const edited = Buffer.concat([
      content.subarray(0, at),
      Buffer.alloc(1 + (number % 200), 7),
      content.subarray(at),
    ]);
    const known = new Set(cut(content, tiny).map(({ hash }) => hash.toString('hex')));
    return cut(edited, tiny).filter(({ hash }) => !known.has(hash.toString('hex'))).length;
  }).toSorted((a, b) => a - b);
  expect(fresh[50]).toBeLessThanOrEqual(3);
  expect(fresh[100]).toBeLessThanOrEqual(20);
});

it('keeps lengths near the average and the same bytes at the longest length', () => {
  const random = cut(seededBytes('average', 16 * 1024 * 1024), fileChunking);
  const average = (16 * 1024 * 1024) / random.length;
  expect(average).toBeGreaterThan(fileChunking.bytesAverage * 0.8);
  expect(average).toBeLessThan(fileChunking.bytesAverage * 1.4);
  const zeros = cut(Buffer.alloc(4 * 1024 * 1024), fileChunking);
  expect(zeros.length).toBeGreaterThanOrEqual(4);
  expect(new Set(zeros.map(({ hash }) => hash.toString('hex'))).size).toBeLessThanOrEqual(2);
});

it('cuts what shares nothing with anything into as few chunks as there can be', () => {
  fc.assert(
    fc.property(seed, fc.integer({ min: 0, max: 5000 }), (name, length) => {
      const content = seededBytes(name, length);
      const chunks = longestChunks(content, tiny);
      expect(chunks.map((chunk) => chunk.length)).toEqual(
        Array.from({ length: Math.ceil(length / 1024) }, (_, at) => Math.min(1024, length - at * 1024)),
      );
      chunks.forEach(({ hash }, at) => {
        const chunk = content.subarray(at * 1024, (at + 1) * 1024);
        expect(hash).toEqual(createHash('sha256').update(chunk).digest());
      });
    }),
  );
});
