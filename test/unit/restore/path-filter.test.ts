import { expect, it } from 'vitest';
import { createPathFilter } from '../../../agent/restore/path-filter.ts';
import { displayPath, parseRelativePath } from '../../../shared/records/relative-path.ts';

const wants = (patterns: string[], path: string | Buffer, directory = false): boolean =>
  createPathFilter(patterns)(parseRelativePath(Buffer.from(path as string)), directory);

it.each([
  ['media', 'media/a/b.png'],
  ['media/', 'media/a/b.png'],
  ['a/b', 'a/b/c/d.png'],
  ['./a/b', 'a/b/c'],
  ['*.png', 'a/b/c.png'],
  ['/a/*.png', 'a/b.png'],
  ['a/**/z.png', 'a/b/c/z.png'],
  ['a b', 'a b/c'],
  ['caf?', 'café'],
  ['🐘*', 'x/🐘.png'],
  ['#tag', '#tag/x'],
  ['\\!x', '!x'],
  ['a/b', 'a/b'],
])('%j wants %j', (pattern, path) => {
  expect(wants([pattern], path)).toBe(true);
});

it.each([
  ['media', 'medium/a'],
  ['/b', 'a/b'],
  ['a/b', 'x/a/b'],
  ['*.png', 'a/b.PNG'],
  ['a/', 'a'],
  ['caf?', 'cafée'],
])('%j does not want %j', (pattern, path) => {
  expect(wants([pattern], path)).toBe(false);
});

it('wants everything without a pattern, and each of several patterns', () => {
  expect(wants([], 'a')).toBe(true);
  expect(wants(['a', 'b'], 'b/c')).toBe(true);
});

it('finds a name that is not UTF-8 by what displayPath shows', () => {
  const odd = Buffer.from('61ff2f62e9', 'hex');
  expect(wants([displayPath(parseRelativePath(odd))], odd)).toBe(true);
  expect(wants(['a\\xff'], odd)).toBe(true);
  expect(wants(['a\\xfe'], odd)).toBe(false);
  expect(wants(['a*/*'], odd)).toBe(true);
});

it('takes a name with a newline', () => {
  expect(wants(['a*'], 'a\nb/c')).toBe(true);
});

it.each(['', '  ', '/', '!a'])('refuses pattern %j', (pattern) => {
  expect(() => createPathFilter([pattern])).toThrowError(expect.objectContaining({ code: 'USAGE' }));
});
