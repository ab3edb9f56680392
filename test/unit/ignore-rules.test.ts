import { expect, it } from 'vitest';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { createIgnoreRules } from '../../agent/ignore-rules.ts';

const bytes = (text: string) => Buffer.from(text, 'utf8').toString('latin1') as RelativePath;

it.each([
  [['cache/'], 'cache', true, true],
  [['cache/'], 'a/cache', true, true],
  [['/cache/'], 'a/cache', true, false],
  [['cache/'], 'cache', false, false],
  [['*.tmp'], 'a/b.tmp', false, true],
  [['*.tmp', '!keep.tmp'], 'keep.tmp', false, false],
  [['*.TMP'], 'a.tmp', false, false],
  [['**/small/*.png'], 'x/y/small/1.png', false, true],
  [['ü💙*'], 'ü💙x', false, true],
  [['# comment', '', 'a'], 'a', false, true],
  [['a b'], 'a b', false, true],
  [['..x'], '..x', false, true],
])('%j on %s (directory: %s) is ignored: %s', (patterns, path, isDirectory, ignored) => {
  expect(createIgnoreRules(patterns).ignores(bytes(path), isDirectory)).toBe(ignored);
});

it('matches names that are not UTF-8 by what is readable in them', () => {
  const rules = createIgnoreRules(['*.tmp']);
  expect(rules.ignores('\xff\xfe.tmp' as RelativePath, false)).toBe(true);
  expect(rules.ignores('\xff\xfe.jpg' as RelativePath, false)).toBe(false);
});

it('never ignores the root', () => {
  expect(createIgnoreRules(['*']).ignores('' as RelativePath, true)).toBe(false);
});
