import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fallbackVersionName, parseVersionName, versionName } from '../../receiver/store/version-name.ts';
import {
  encodeRelativePath,
  parseRelativePath,
  type RelativePath,
} from '../../shared/records/relative-path.ts';

const at = Date.parse('2026-11-21T08:05:09.123Z');
const segment = fc
  .uint8Array({ minLength: 1, maxLength: 255 })
  .filter((bytes) => !bytes.includes(0) && !bytes.includes(0x2f))
  .map((bytes) => Buffer.from(bytes).toString('latin1'))
  .filter((name) => name !== '.' && name !== '..');

it.each([
  ['a/photo.jpg', 1, 'a/photo~20261121-080509.jpg'],
  ['a/photo.jpg', 2, 'a/photo~20261121-080509-2.jpg'],
  ['archive.tar.gz', 1, 'archive.tar~20261121-080509.gz'],
  ['plain', 1, 'plain~20261121-080509'],
  ['.hidden', 1, '~20261121-080509.hidden'],
])('names the version of %s, attempt %i, as Syncthing does', (path, attempt, name) => {
  expect(versionName(path as RelativePath, at, attempt)).toBe(name);
});

it('cuts names that are too long at a character, and tells them apart', () => {
  const name = (text: string): string =>
    versionName(Buffer.from(text).toString('latin1') as RelativePath, at, 1);
  const [one, other] = [name(`${'é'.repeat(124)}a.jpeg`), name(`${'é'.repeat(124)}b.jpeg`)];
  expect(one).not.toBe(other);
  expect(one.length).toBeLessThanOrEqual(255);
  expect(one.endsWith('~20261121-080509.jpeg')).toBe(true);
  expect(Buffer.from(one, 'latin1').toString('utf8')).not.toContain('\ufffd');
});

it('always gives a name that a file system takes, in the directory of the path', () => {
  fc.assert(
    fc.property(segment, fc.integer({ min: 1, max: 9999 }), (name, attempt) => {
      const version = versionName(`d/${name}` as RelativePath, at, attempt);
      expect(parseRelativePath(encodeRelativePath(version as RelativePath))).toBe(version);
      expect(version.slice(0, 2)).toBe('d/');
      expect(version).not.toBe(`d/${name}`);
      expect(fallbackVersionName(name as RelativePath, at, attempt).length).toBeLessThanOrEqual(255);
    }),
  );
});

it('finds path and time again where the name was not cut', () => {
  fc.assert(
    fc.property(
      segment.filter((name) => name.length < 200 && name.slice(name.lastIndexOf('.')).length < 32),
      fc.integer({ min: 1, max: 99 }),
      (name, attempt) => {
        expect(parseVersionName(versionName(`d/${name}` as RelativePath, at, attempt))).toEqual({
          path: `d/${name}`,
          at: at - 123,
        });
      },
    ),
  );
  expect(parseVersionName('d/nothing of ours.txt')).toBeNull();
});
