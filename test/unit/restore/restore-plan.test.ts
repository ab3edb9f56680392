import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createPathFilter, everyPath } from '../../../agent/restore/path-filter.ts';
import { planFolder, type RestoreEntry } from '../../../agent/restore/restore-plan.ts';
import {
  isBelow,
  parentPath,
  parseRelativePath,
  type RelativePath,
} from '../../../shared/records/relative-path.ts';

const at = (text: string): RelativePath => parseRelativePath(Buffer.from(text, 'utf8'));
const file = (text: string, size = 1): RestoreEntry => ({
  path: at(text),
  state: { kind: 'file', size, mtimeNs: 1n, mode: 0o644, uid: 1, gid: 1, hash: Buffer.alloc(32) },
});
const symlink = (text: string): RestoreEntry => ({
  path: at(text),
  state: { kind: 'symlink', target: Buffer.from('x'), mtimeNs: 1n, uid: 1, gid: 1 },
});
const directory = (text: string, mode: number, uid = 7): RestoreEntry => ({
  path: at(text),
  state: { kind: 'directory', mode, uid, gid: uid },
});

it('gives a directory without a record what the nearest recorded one above it has', () => {
  const plan = planFolder(
    'media',
    [directory('', 0o755, 1), directory('a', 0o750, 2), file('a/b/c/f'), file('d/f')],
    everyPath,
  );
  const found = Object.fromEntries(plan.directories.map(({ path, metadata }) => [path, metadata]));
  expect(found).toMatchObject({
    '': { mode: 0o755, uid: 1 },
    a: { mode: 0o750, uid: 2 },
    'a/b': { mode: 0o750, uid: 2 },
    'a/b/c': { mode: 0o750, uid: 2 },
    d: { mode: 0o755, uid: 1 },
  });
});

it('knows no mode for a directory with no record above it', () => {
  const plan = planFolder('media', [file('a/f')], everyPath);
  expect(plan.directories.map(({ metadata }) => metadata)).toEqual([null, null]);
});

it('plans the way to a wanted file without wanting the directories themselves', () => {
  const plan = planFolder(
    'media',
    [directory('a', 0o700), file('a/b/f', 5), file('a/g', 7)],
    createPathFilter(['/a/b']),
  );
  expect(plan.files.map(({ path }) => path)).toEqual(['a/b/f']);
  expect(plan.bytes).toBe(5);
  expect(plan.directories.map(({ path, selected }) => [path, selected])).toEqual([
    ['', false],
    ['a', false],
    ['a/b', true],
  ]);
});

it('plans an empty directory and an empty folder', () => {
  expect(
    planFolder('media', [directory('a/b', 0o700)], everyPath).directories.map(({ path }) => path),
  ).toEqual(['', 'a', 'a/b']);
  expect(planFolder('media', [], everyPath).directories).toHaveLength(1);
});

it.each([
  [[file('a'), file('a/b')], ['a/b']],
  [[symlink('a'), file('a/b/c')], ['a/b/c']],
  [[file('a/b/c'), symlink('a/b')], ['a/b/c']],
  [[symlink('a'), directory('a/b', 0o700)], ['a/b']],
  [[file('a'), directory('a', 0o700)], ['a']],
  [[symlink('')], ['']],
])('never writes through a path that is recorded as something else (%#)', (entries, failed) => {
  const plan = planFolder('media', entries, everyPath);
  expect(plan.failures.map(({ path }) => path)).toEqual(failed);
  for (const { path } of plan.failures)
    expect(plan.files.some((planned) => planned.path === path)).toBe(path === 'a');
});

it('puts every parent before what is below it and nothing below a file or a link, whatever the entries', () => {
  const name = fc.constantFrom('a', 'b', 'a-');
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/'));
  const entry = fc.oneof(
    path.map((text) => file(text)),
    path.map(symlink),
    path.map((text) => directory(text, 0o700)),
  );
  fc.assert(
    fc.property(
      fc.uniqueArray(entry, { selector: ({ path }) => path }),
      fc.subarray(['a', 'b', '/a/b']),
      (entries, patterns) => {
        const plan = planFolder('media', entries, createPathFilter(patterns));
        const seen = new Set<string>();
        for (const planned of plan.directories) {
          const parent = parentPath(planned.path);
          expect(parent === null || seen.has(parent)).toBe(true);
          expect(seen.has(planned.path)).toBe(false);
          seen.add(planned.path);
        }
        const leaves = [...plan.files, ...plan.symlinks].map((planned) => planned.path);
        for (const leaf of leaves) {
          expect(seen.has(parentPath(leaf) ?? 'none')).toBe(true);
          expect(
            [...seen, ...leaves].some((other) => other === leaf || isBelow(other as RelativePath, leaf)),
          ).toBe(leaves.includes(leaf));
          expect([...seen].some((other) => isBelow(other as RelativePath, leaf))).toBe(false);
        }
      },
    ),
  );
});
