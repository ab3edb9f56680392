import fc from 'fast-check';
import { expect, it } from 'vitest';
import { checkMessageFraming } from '../../shared/sealing/message-framing.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';

const corrupt: unknown = expect.objectContaining({ code: 'PACK_CORRUPT' });

function packet(tag: number, body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([Buffer.from([0xc0 | tag, 0xff]), length, body]);
}
const pkesk = (version = 3): Buffer =>
  packet(
    1,
    Buffer.concat([Buffer.from([version]), Buffer.from('0123456789abcdef', 'hex'), Buffer.from([18, 0])]),
  );
const skesk = packet(3, Buffer.from([4, 9, 3]));
const seipd = (version = 1): Buffer => packet(18, Buffer.concat([Buffer.from([version]), Buffer.alloc(300)]));

it('reads whom a message is sealed to without any key', () => {
  expect(checkMessageFraming(Buffer.concat([pkesk(), pkesk(), seipd()]))).toEqual({
    keyIds: ['0123456789ABCDEF', '0123456789ABCDEF'],
    passphrases: 0,
    dataAt: 2 * pkesk().length,
    dataBodyAt: 2 * pkesk().length + 6,
  });
  expect(checkMessageFraming(Buffer.concat([skesk, seipd()]))).toEqual({
    keyIds: [],
    passphrases: 1,
    dataAt: skesk.length,
    dataBodyAt: skesk.length + 6,
  });
});

it('reads all definite lengths, of both packet formats', () => {
  const body = Buffer.concat([Buffer.from([1]), Buffer.alloc(199)]);
  const head = [0xd2, 192 + ((200 - 192) >> 8), (200 - 192) & 0xff];
  const twoBytes = Buffer.concat([pkesk(), Buffer.from(head), body]);
  expect(checkMessageFraming(twoBytes).keyIds.length).toBe(1);
  const oldPkesk = Buffer.concat([Buffer.from([0x84, 11]), pkesk().subarray(6)]);
  const oldLong = Buffer.concat([Buffer.from([0x85, 0, 11]), pkesk().subarray(6)]);
  expect(checkMessageFraming(Buffer.concat([oldPkesk, oldLong, seipd()])).keyIds.length).toBe(2);
});

it.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['text', Buffer.from('-----BEGIN PGP MESSAGE-----')],
  ['no session key', seipd()],
  ['no encrypted data', pkesk()],
  ['PKESK version 6', Buffer.concat([pkesk(6), seipd()])],
  ['SKESK version 6', Buffer.concat([packet(3, Buffer.from([6, 9])), seipd()])],
  ['SEIPDv2', Buffer.concat([pkesk(), seipd(2)])],
  ['the AEAD packet of GnuPG 2.4', Buffer.concat([pkesk(), packet(20, Buffer.from([1, 9, 2, 16]))])],
  ['data without integrity protection', Buffer.concat([pkesk(), packet(9, Buffer.alloc(50))])],
  ['a marker before', Buffer.concat([packet(10, Buffer.from('PGP')), pkesk(), seipd()])],
  ['a packet behind', Buffer.concat([pkesk(), seipd(), seipd()])],
  ['a byte behind', Buffer.concat([pkesk(), seipd(), Buffer.alloc(1)])],
  ['a length that is partial', Buffer.concat([pkesk(), Buffer.from([0xd2, 0xe9]), Buffer.alloc(512)])],
  ['a length that is indeterminate', Buffer.concat([Buffer.from([0x87]), pkesk().subarray(6), seipd()])],
  ['a length behind the end', Buffer.concat([pkesk(), seipd()]).subarray(0, -1)],
  [
    'too many session keys',
    Buffer.concat([...Array.from({ length: sealedLimits.recipientsMax + 1 }, () => pkesk()), seipd()]),
  ],
])('refuses %s', (_, message) => {
  expect(() => checkMessageFraming(message)).toThrowError(corrupt);
});

it('answers any bytes with a framing or PACK_CORRUPT', () => {
  const good = Buffer.concat([pkesk(), skesk, seipd()]);
  fc.assert(
    fc.property(fc.nat({ max: 40 }), fc.uint8Array({ maxLength: 8 }), (at, noise) => {
      const changed = Buffer.concat([good.subarray(0, at), noise, good.subarray(at + noise.length)]);
      try {
        checkMessageFraming(changed);
      } catch (error) {
        expect(error).toEqual(corrupt);
      }
    }),
    { numRuns: 500 },
  );
});
