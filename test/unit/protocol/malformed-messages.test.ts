import { Encoder } from 'cbor-x';
import { expect, it } from 'vitest';
import { decodeMessage, encodeMessage } from '../../../shared/protocol/codec.ts';
import { limits } from '../../../shared/protocol/limits.ts';
import { parseTypedPath } from '../../../shared/records/relative-path.ts';

const loose = new Encoder({ useRecords: false, tagUint8Array: false, variableMapSize: true });
const body = (typeByte: number, value: unknown): Buffer =>
  Buffer.concat([Uint8Array.of(typeByte), loose.encode(value)]);
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const wantOf = (item: object): Buffer =>
  body(0x10, {
    requestId: 1,
    folder: 'media',
    items: [{ path: Buffer.from('a'), hash: Buffer.alloc(32), offset: 0, length: 1, ...item }],
  });

/** The hex text of a want whose offset is written as `item`. */
const wantWithOffset = (item: string): Buffer =>
  Buffer.from(wantOf({}).toString('hex').replace('666f666673657400', `666f6666736574${item}`), 'hex');

const malformed: [string, Buffer][] = [
  ['a number as a tagged bignum', wantWithOffset('c24101')],
  ['a number as a float', wantWithOffset('fb0000000000000000')],
  ['no bytes', Buffer.alloc(0)],
  ['an unknown type', hex('7f a0')],
  ['no body', hex('06')],
  ['a body that is not a map', hex('06 80')],
  ['a tag (a date)', hex('06 c0 60')],
  ['a record of cbor-x', hex('06 d9 dfff 83 19 8000 81 61 61 01')],
  ['a packed table', hex('06 d8 33 82 80 80')],
  ['an array of indefinite length', hex('06 9f ff')],
  ['a text of indefinite length', hex('06 7f 61 61 ff')],
  ['an array that claims four billion items', hex('06 9a ffffffff')],
  ['a map that claims 2^63 entries', hex('06 bb 8000000000000000')],
  ['a string that claims 2^64-1 bytes', hex('06 5b ffffffffffffffff')],
  ['undefined', hex('06 f7')],
  ['a float', body(0x10, 1.5)],
  ['nesting without end', Buffer.concat([hex('06'), Buffer.alloc(100_000, 0x81), hex('00')])],
  [
    'a map in a map without end',
    Buffer.concat([hex('06'), Buffer.from('a16161'.repeat(50_000), 'hex'), hex('00')]),
  ],
  ['millions of items', Buffer.concat([hex('06 9a 00300000'), Buffer.alloc(0x300000)])],
  ['a key that is a number', hex('06 a1 01 01')],
  ['a key named __proto__', hex('06 a1 69 5f5f70726f746f5f5f a0')],
  ['bytes behind the body', Buffer.concat([encodeMessage({ type: 'offer', folders: [] }), hex('00')])],
  ['a field too many', body(0x02, { folders: [], more: 1 })],
  ['a field too few', body(0x02, {})],
  ['text in place of bytes', wantOf({ path: 'a' })],
  ['a hash of 31 bytes', wantOf({ hash: Buffer.alloc(31) })],
  ['a negative offset', wantOf({ offset: -1 })],
  ['an offset above 2^53', wantOf({ offset: 2n ** 60n })],
  ['a length of nothing', wantOf({ length: 0 })],
  ['a length above the window', wantOf({ length: limits.contentBytesInFlightMax + 1 })],
  ...['/etc/passwd', '../a', 'a/../../b', 'a//b', 'a/', '.', 'a\0b', 'x'.repeat(256)].map(
    (path): [string, Buffer] => [
      `the path ${JSON.stringify(path.slice(0, 20))}`,
      wantOf({ path: Buffer.from(path) }),
    ],
  ),
  ...['', '..', '.x', 'Media', 'a/b', 'a'.repeat(65), 'é'].map((id): [string, Buffer] => [
    `the folder ${JSON.stringify(id.slice(0, 20))}`,
    body(0x02, { folders: [{ id, kind: 'mirror', indexId: Buffer.alloc(8) }] }),
  ]),
  [
    '65 folders',
    body(0x02, {
      folders: Array.from({ length: 65 }, (_, n) => ({
        id: `f${n}`,
        kind: 'mirror',
        indexId: Buffer.alloc(8),
      })),
    }),
  ],
  ['content without its header', hex('11 0000')],
  ['content without parts', hex('11 00000001 0000')],
  ['content that is shorter than it says', hex('11 00000001 0001 0000 0000000000000000 00000002 61')],
  ['content that is longer than it says', hex('11 00000001 0001 0000 0000000000000000 00000001 6161')],
  ['content with an item that no want has', hex('11 00000001 0001 0400 0000000000000000 00000001 61')],
  ['content at an offset above 2^53', hex('11 00000001 0001 0000 0020000000000000 00000001 61')],
  ['a message that is too long', Buffer.alloc(limits.messageBytesMax + 1, 0x11)],
];

it.each(malformed)('refuses %s', (_, bytes) => {
  const before = process.memoryUsage().arrayBuffers;
  expect(() => decodeMessage(bytes)).toThrowError(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }));
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
});

it('does not let a message reach the prototype of anything', () => {
  expect(() => decodeMessage(hex('06 a1 69 5f5f70726f746f5f5f a1 61 78 01'))).toThrowError();
  expect(({} as Record<string, unknown>)['x']).toBeUndefined();
});

it('fits the largest batch part, want, chunk page and entry page into a message', () => {
  const path = parseTypedPath(`${'d'.repeat(255)}/`.repeat(11) + 'f'.repeat(255));
  const hash = Buffer.alloc(32);
  const item = { path, hash, offset: Number.MAX_SAFE_INTEGER, length: 1 };
  const items = Array.from({ length: limits.wantItemsMax }, () => item);
  const want = encodeMessage({ type: 'want', requestId: 1, folder: 'f'.repeat(64), items });
  expect(want.length).toBeLessThanOrEqual(limits.messageBytesMax);
  expect(decodeMessage(want)).toMatchObject({ type: 'want' });
  const chunks = Array.from({ length: limits.chunksPageMax }, () => ({ length: 1_048_576, hash }));
  const page = { requestId: 1, chunking: 'fastcdc-256k', from: 0, total: chunks.length, chunks } as const;
  expect(decodeMessage(encodeMessage({ type: 'chunks', ...page }))).toMatchObject({ type: 'chunks' });
});

it('throws a defect, not a violation, when our own side makes a message that may not be', () => {
  const broken = {
    type: 'offer',
    folders: [{ id: '../x', kind: 'mirror', indexId: Buffer.alloc(8) }],
  } as const;
  expect(() => encodeMessage({ ...broken, folders: [...broken.folders] })).toThrowError(
    expect.not.objectContaining({ code: 'PROTOCOL_VIOLATION' }),
  );
});

it('takes an integer in any of the lengths that CBOR has', () => {
  for (const item of ['00', '1800', '190000', '1a00000000', '1b0000000000000000']) {
    expect(decodeMessage(wantWithOffset(item))).toMatchObject({ items: [{ offset: 0 }] });
  }
});
