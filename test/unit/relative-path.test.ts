import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeRelativePath, parseRelativePath } from '../../shared/records/relative-path.ts';

it('keeps the bytes of every name that a file system can hold', () => {
  const segment = fc
    .uint8Array({ minLength: 1, maxLength: 255 })
    .filter((bytes) => !bytes.includes(0) && !bytes.includes(0x2f))
    .filter((bytes) => !['.', '..'].includes(Buffer.from(bytes).toString('latin1')));
  const path = fc
    .array(segment, { minLength: 1, maxLength: 5 })
    .map((segments) =>
      Buffer.concat(segments.flatMap((part, at) => (at === 0 ? [part] : [Buffer.from('/'), part]))),
    );
  fc.assert(
    fc.property(path, (bytes) => {
      expect(encodeRelativePath(parseRelativePath(bytes)).equals(bytes)).toBe(true);
    }),
  );
});

it.each([
  '/etc/passwd',
  '../a',
  'a/../b',
  'a//b',
  'a/',
  './a',
  'a\0b',
  'x'.repeat(256),
  'a/'.repeat(2000) + 'a',
])('refuses %j', (text) => {
  expect(() => parseRelativePath(Buffer.from(text))).toThrowError(
    expect.objectContaining({ code: 'PATH_INVALID' }),
  );
});
