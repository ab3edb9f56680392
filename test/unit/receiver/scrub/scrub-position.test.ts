import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { inFile, scrubPositionSchema } from '../../../../receiver/scrub/scrub-position.ts';
import { beginPass, scrubStateSchema } from '../../../../receiver/scrub/scrub-state.ts';
import type { HalfLook } from '../../../../receiver/store/long-check.ts';

const half: fc.Arbitrary<HalfLook> = fc.record({
  identity: fc.string(),
  offset: fc.nat(),
  hash: fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64')),
  first: fc.constantFrom(null, 'size', 'content', 'unreadable'),
  starts: fc.integer({ min: 1, max: 9 }),
});

/** Undefined where it is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

it('reads what was kept of a file that is half read, and nothing in which a character is another', () => {
  fc.assert(
    fc.property(fc.string(), half, fc.nat(), fc.integer({ min: 1, max: 127 }), (name, half, at, bits) => {
      const position = inFile(`files:${name}`, half);
      const text = JSON.stringify(position);
      expect(scrubPositionSchema.parse(JSON.parse(text))).toEqual(position);
      const bytes = Buffer.from(text);
      bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ bits;
      const value = parsed(bytes.toString('utf8'));
      const isSame = isDeepStrictEqual(value, position);
      expect(scrubPositionSchema.safeParse(value).success).toBe(isSame);
    }),
  );
});

it('reads the state of a receiver that knew nothing of files that are half read', () => {
  const older = { ...beginPass(null, 5), subject: 'A/folders/media', at: 'files:d/a' };
  expect(scrubStateSchema.parse(JSON.parse(JSON.stringify(older)))).toEqual(older);
});

it.each([
  ['that is before the beginning', { offset: -1 }],
  ['that never began', { starts: 0 }],
  ['that is looked at again although it is missing', { first: 'missing' }],
  ['of which the hash is no base64', { hash: '?' }],
])('takes no file %s for half read', (_, wrong) => {
  const half = { identity: 'x', offset: 1, hash: 'AAAA', first: null, starts: 1 };
  expect(scrubPositionSchema.safeParse(inFile('files:a', half)).success).toBe(true);
  const position = inFile('files:a', { ...half, ...wrong } as HalfLook);
  expect(scrubPositionSchema.safeParse(position).success).toBe(false);
});
