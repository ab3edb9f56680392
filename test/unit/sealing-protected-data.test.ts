import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { openProtectedData } from '../../shared/sealing/protected-data.ts';

const corrupt = expect.objectContaining({ code: 'PACK_CORRUPT' }) as Error;
const key = randomBytes(32);

type Parts = { version?: number; packets: Buffer; code?: Buffer; hashed?: (plain: Buffer) => Buffer };

/** Written out from the standard, with every part to be replaced. */
function protect({
  version = 1,
  packets,
  code = Buffer.of(0xd3, 0x14),
  hashed = (plain) => plain,
}: Parts): Buffer {
  const block = randomBytes(16);
  const covered = Buffer.concat([block, block.subarray(14), packets, code]);
  const hash = createHash('sha1').update(hashed(covered)).digest();
  const cipher = createCipheriv('aes-256-cfb', key, Buffer.alloc(16));
  return Buffer.concat([Buffer.of(version), cipher.update(Buffer.concat([covered, hash])), cipher.final()]);
}

function literal(content: Uint8Array, { tag = 11, format = 'b', name = '' } = {}): Buffer {
  const body = Buffer.concat([
    Buffer.from(format),
    Buffer.of(name.length),
    Buffer.from(name),
    Buffer.alloc(4),
    content,
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([Buffer.of(0xc0 | tag, 0xff), length, body]);
}

it('gives back any content', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (content) => {
      expect(openProtectedData(protect({ packets: literal(content) }), key)).toEqual(Buffer.from(content));
    }),
  );
});

it('answers every flipped bit, every cut and every other key with PACK_CORRUPT', () => {
  const whole = protect({ packets: literal(Buffer.from('0123456789')) });
  for (let at = 0; at < whole.length; at += 1) {
    for (let bit = 0; bit < 8; bit += 1) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ (1 << bit);
      expect(() => openProtectedData(changed, key)).toThrow(corrupt);
    }
    expect(() => openProtectedData(whole.subarray(0, at), key)).toThrow(corrupt);
  }
  expect(() => openProtectedData(whole, randomBytes(32))).toThrow(corrupt);
});

const content = Buffer.from('content');
it.each<[string, Parts]>([
  ['another version', { version: 2, packets: literal(content) }],
  ['another packet where the code belongs', { packets: literal(content), code: Buffer.of(0xd3, 0x15) }],
  [
    'a hash without the code’s header',
    { packets: literal(content), hashed: (plain) => plain.subarray(0, -2) },
  ],
  ['a hash without the prefix', { packets: literal(content), hashed: (plain) => plain.subarray(18) }],
  ['nothing', { packets: Buffer.alloc(0) }],
  ['two literal packets', { packets: Buffer.concat([literal(content), literal(content)]) }],
  ['a compressed packet', { packets: literal(content, { tag: 8 }) }],
  ['text', { packets: literal(content, { format: 't' }) }],
  ['a name', { packets: literal(content, { name: 'dump' }) }],
  ['a literal packet that is cut off', { packets: literal(content).subarray(0, -1) }],
  ['a literal packet that is too short', { packets: Buffer.of(0xcb, 2, 0x62, 0) }],
  ['a partial length', { packets: Buffer.concat([Buffer.of(0xcb, 0xe3), Buffer.alloc(8)]) }],
])('refuses %s, though its code is right', (_, parts) => {
  expect(() => openProtectedData(protect(parts), key)).toThrow(corrupt);
});
