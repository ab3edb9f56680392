import { randomBytes } from 'node:crypto';
import { constants, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodePack, encodePack, type PackEffort } from '../../shared/sealing/pack.ts';
import { padmeLength } from '../../shared/sealing/padme.ts';
import { MastodonRows } from '../support/mastodon-rows.ts';
import { seededBytes } from '../support/seeded-bytes.ts';

const corrupt: unknown = expect.objectContaining({ code: 'PACK_CORRUPT' });
const skippable = (bytes: number): Buffer => {
  const frame = Buffer.alloc(8 + bytes);
  frame.writeUInt32LE(0x184d2a50, 0);
  frame.writeUInt32LE(bytes, 4);
  return frame;
};
const frame = (chunks: Uint8Array, params: Record<number, number | boolean> = {}): Buffer =>
  zstdCompressSync(chunks, {
    params: { [constants.ZSTD_c_checksumFlag]: 1, [constants.ZSTD_c_contentSizeFlag]: 1, ...params },
  });

it('gives back every content, in a Padmé length', () => {
  const content = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 70_000 }),
    fc
      .tuple(fc.string({ minLength: 1 }), fc.integer({ min: 1, max: 20_000 }))
      .map(([text, times]) => Buffer.from(text.repeat(times))),
  );
  fc.assert(
    fc.property(content, fc.constantFrom<PackEffort>('fast', 'thorough'), (chunks, effort) => {
      fc.pre(chunks.length > 0);
      const pack = encodePack(chunks, effort);
      expect(padmeLength(pack.length)).toBe(pack.length);
      expect(decodePack(pack).equals(chunks)).toBe(true);
    }),
    { numRuns: 60 },
  );
});

it.each([1, 255, 256, 65_791, 65_792, 16 * 1024 * 1024])('holds %i bytes that do not compress', (bytes) => {
  const chunks = randomBytes(bytes);
  expect(decodePack(encodePack(chunks, 'fast')).equals(chunks)).toBe(true);
  expect(decodePack(encodePack(chunks, 'thorough')).equals(chunks)).toBe(true);
});

it('holds one frame whatever its length, also where the compressor fills its output to the last byte', () => {
  for (let length = 1; length <= 400; length += 1) {
    const content = seededBytes('one frame', length);
    expect(decodePack(encodePack(content, 'fast')), `${length} bytes`).toEqual(content);
  }
});

it('makes less of rows of a database with more effort', () => {
  const rows = new MastodonRows(1, 2000, { first: 0, startMs: Date.UTC(2026, 0, 1), stepMs: 60_000 });
  const chunks = Buffer.from([...rows.lines('statuses', 0, 2000)].join(''));
  expect(encodePack(chunks, 'thorough').length).toBeLessThan(encodePack(chunks, 'fast').length);
});

it('refuses to hold nothing, or more than 16 MiB', () => {
  expect(() => encodePack(Buffer.alloc(0), 'fast')).toThrowError(RangeError);
  expect(() => encodePack(Buffer.alloc(16 * 1024 * 1024 + 1), 'fast')).toThrowError(RangeError);
});

const chunks = Buffer.from('chunks '.repeat(500));
it.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['no padding frame', frame(chunks)],
  ['two data frames', Buffer.concat([frame(chunks), frame(chunks), skippable(10)])],
  ['the padding first', Buffer.concat([skippable(10), frame(chunks)])],
  ['two padding frames', Buffer.concat([frame(chunks), skippable(10), skippable(10)])],
  ['a byte behind the padding', Buffer.concat([frame(chunks), skippable(10), Buffer.alloc(1)])],
  ['padding that is cut off', Buffer.concat([frame(chunks), skippable(10).subarray(0, -1)])],
  ['a data frame that is cut off', frame(chunks).subarray(0, 30)],
  ['no checksum', Buffer.concat([frame(chunks, { [constants.ZSTD_c_checksumFlag]: 0 }), skippable(10)])],
  [
    'no content size',
    Buffer.concat([frame(chunks, { [constants.ZSTD_c_contentSizeFlag]: 0 }), skippable(10)]),
  ],
  ['no content', Buffer.concat([frame(Buffer.alloc(0)), skippable(10)])],
  ['a bomb', Buffer.concat([frame(Buffer.alloc(16 * 1024 * 1024 + 1)), skippable(10)])],
])('refuses %s', (_, content) => {
  expect(() => decodePack(content)).toThrowError(corrupt);
});

it('refuses a frame that says less than it holds, without making room for more', () => {
  const lying = frame(Buffer.alloc(1_000_000));
  // single segment with a size of four bytes behind the descriptor
  expect(lying[4]).toBe(0xa4);
  lying.writeUInt32LE(1000, 5);
  expect(() => decodePack(Buffer.concat([lying, skippable(10)]))).toThrowError(corrupt);
});

it('answers a changed byte with the chunks or with PACK_CORRUPT, never with other chunks', () => {
  const pack = encodePack(chunks, 'fast');
  fc.assert(
    fc.property(fc.nat({ max: pack.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = Buffer.from(pack);
      changed[at] = (changed[at] ?? 0) ^ change;
      let decoded: Buffer | null = null;
      try {
        decoded = decodePack(changed);
      } catch (error) {
        expect(error).toEqual(corrupt);
      }
      if (decoded !== null) expect(decoded.equals(chunks)).toBe(true);
    }),
    { numRuns: 500 },
  );
});
