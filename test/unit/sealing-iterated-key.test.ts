import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { iteratedKey } from '../../shared/sealing/iterated-key.ts';

/** By the letter of the standard, with everything that is hashed in memory. */
function inOnePiece(passphrase: string, salt: Uint8Array, count: number, keyBytes: number): Buffer {
  const once = Buffer.concat([salt, Buffer.from(passphrase)]);
  const text = Buffer.alloc(Math.max(count, once.length), once);
  const rounds = [0, 1, 2].map((zeros) =>
    createHash('sha1').update(Buffer.alloc(zeros)).update(text).digest(),
  );
  return Buffer.concat(rounds).subarray(0, keyBytes);
}

it('is what hashing salt and passphrase over and over in one piece gives', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', maxLength: 30 }),
      fc.uint8Array({ minLength: 8, maxLength: 8 }),
      fc.integer({ min: 1, max: 300_000 }),
      fc.constantFrom(16, 20, 32, 60),
      (passphrase, salt, count, keyBytes) => {
        const key = iteratedKey(passphrase, { hash: 'sha1', salt, count }, keyBytes);
        expect(key.equals(inOnePiece(passphrase, salt, count, keyBytes))).toBe(true);
      },
    ),
    { numRuns: 50 },
  );
});
