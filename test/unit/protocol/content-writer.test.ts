import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeMessage } from '../../../shared/protocol/codec.ts';
import { ContentWriter } from '../../../shared/protocol/content.ts';
import { limits } from '../../../shared/protocol/limits.ts';

const bytes = fc.uint8Array({ minLength: 1, maxLength: 400 }).map((array) => Buffer.from(array));
const parts = fc.array(fc.record({ item: fc.nat(1023), offset: fc.maxSafeNat(), bytes }), {
  minLength: 1,
  maxLength: 20,
});
const message = fc.record({ requestId: fc.nat(0xffff_ffff), parts });

it('writes one message after the other as each would be encoded alone', () => {
  const writer = new ContentWriter();
  fc.assert(
    fc.property(message, ({ requestId, parts: wanted }) => {
      for (const part of wanted) {
        part.bytes.copy(writer.room);
        writer.add(part.item, part.offset, part.bytes.length);
      }
      expect(writer.partCount).toBe(wanted.length);
      expect(writer.take(requestId)).toEqual(encodeMessage({ type: 'content', requestId, parts: wanted }));
      expect(writer.partCount).toBe(0);
    }),
  );
});

it('has room for as much as a message may hold, in as many parts', () => {
  const writer = new ContentWriter();
  expect(writer.room.length).toBe(limits.contentMessageBytesMax);
  const length = limits.contentMessageBytesMax / limits.contentPartsMax;
  for (let part = 0; part < limits.contentPartsMax; part += 1) writer.add(part, 0, length);
  expect(writer.room.length).toBe(0);
  const large = writer.take(1);
  const empty = Buffer.alloc(length);
  large.fill(0, large.length - limits.contentMessageBytesMax);
  const expected = Array.from({ length: limits.contentPartsMax }, (_, item) => ({
    item,
    offset: 0,
    bytes: empty,
  }));
  expect(large).toEqual(encodeMessage({ type: 'content', requestId: 1, parts: expected }));
});
