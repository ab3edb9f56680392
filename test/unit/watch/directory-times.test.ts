import fs, { type BigIntStats } from 'node:fs';
import { expect, it } from 'vitest';
import type { RelativePath } from '../../../shared/records/relative-path.ts';
import type { PathChange } from '../../../agent/index/folder-index.ts';
import { ChangeBatch } from '../../../agent/watch/change-batch.ts';
import { hasTimes, timesOfStill } from '../../../agent/watch/directory-times.ts';

const stat = fs.statSync(import.meta.dirname, { bigint: true });
const newestMs = Number((stat.ctimeNs > stat.mtimeNs ? stat.ctimeNs : stat.mtimeNs) / 1_000_000n);
const changed = (change: Partial<BigIntStats>): BigIntStats => Object.assign({}, stat, change);

it('keeps the times of a directory that had been left alone for more than two seconds', () => {
  expect(timesOfStill(stat, newestMs + 2000)).toBeNull();
  expect(timesOfStill(stat, newestMs - 60_000)).toBeNull();
  expect(timesOfStill(stat, newestMs + 2001)).toEqual({
    dev: stat.dev,
    ino: stat.ino,
    mtimeNs: stat.mtimeNs,
    ctimeNs: stat.ctimeNs,
  });
});

it.each<Partial<BigIntStats>>([
  { dev: stat.dev + 1n },
  { ino: stat.ino + 1n },
  { mtimeNs: stat.mtimeNs - 1n },
  { ctimeNs: stat.ctimeNs - 1n },
])('takes a directory for another where %o differs', (change) => {
  expect(hasTimes(stat, stat)).toBe(true);
  expect(hasTimes(changed(change), stat)).toBe(false);
});

it('takes back the times of a directory when a change in it comes after they were noted', () => {
  const batch = new ChangeBatch();
  const note = (path: string) => {
    batch.note({ type: 'compared', path: path as RelativePath, times: stat });
  };
  const change = (path: string): PathChange => ({
    path: path as RelativePath,
    state: { kind: 'deleted' },
    ctimeNs: 0n,
    ino: 0n,
    chunks: null,
  });
  batch.add(change('a/before'));
  for (const path of ['', 'a', 'b', 'a/in']) note(path);
  batch.add(change('b/after'));
  batch.add(change('file'));
  const timed = batch.take().notes.map((entry) => entry.type === 'compared' && entry.times !== null);
  expect(timed).toEqual([false, true, false, true]);
  expect(batch.take()).toEqual({ changes: [], notes: [] });
});
