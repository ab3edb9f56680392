import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { chunkIdBytes, ChunkNamer, generateChunkSecret } from '../../shared/sealing/chunk-id.ts';

it('identifies a chunk by the first half of its HMAC-SHA-256', () => {
  // RFC 4231, test case 2
  const name = new ChunkNamer(Buffer.from('Jefe'), 100).name(Buffer.from('what do ya want for nothing?'));
  expect(Buffer.from(name, 'latin1').toString('hex')).toBe('5bdcc146bf60754e6a042426089575c7');
  expect(name).toHaveLength(chunkIdBytes);
});

it('names every chunk as an HMAC would, whatever was named before it', () => {
  const bytesMax = 300;
  const secrets = fc.uint8Array({ maxLength: 64 });
  const chunks = fc.array(fc.uint8Array({ maxLength: bytesMax }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(secrets, chunks, (secret, some) => {
      const namer = new ChunkNamer(secret, bytesMax);
      for (const chunk of some) {
        const hmac = createHmac('sha256', secret).update(chunk).digest().subarray(0, chunkIdBytes);
        expect(namer.name(chunk)).toBe(hmac.toString('latin1'));
      }
    }),
  );
});

it('takes no secret that HMAC would hash first', () => {
  expect(() => new ChunkNamer(Buffer.alloc(65), 100)).toThrow(RangeError);
});

it('gives each epoch a secret of its own', () => {
  expect(generateChunkSecret().equals(generateChunkSecret())).toBe(false);
});
