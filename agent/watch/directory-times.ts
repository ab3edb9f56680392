import fs, { type BigIntStats } from 'node:fs';
import { childPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { DirectoryTimes } from '../index/directory-table.ts';
import type { IndexRow } from '../index/index-row.ts';
import { pathBelow } from '../index/source-file.ts';
import { isKnown } from './signature.ts';

/** A directory with more entries is always listed. */
export const quietEntriesMax = 1000;

/** A directory that changed less long ago may change again without its times telling. */
const stillMs = 2000;

/**
 * The directory's times, where they will tell of every change from `nowMs` on; else null. They have to be older than the
 * listing that they are kept for, and `nowMs` (wall clock) must not be later than it.
 */
export function timesOfStill(stat: BigIntStats, nowMs: number): DirectoryTimes | null {
  const { dev, ino, mtimeNs, ctimeNs } = stat;
  const newestNs = ctimeNs > mtimeNs ? ctimeNs : mtimeNs;
  return nowMs - Number(newestNs / 1_000_000n) > stillMs ? { dev, ino, mtimeNs, ctimeNs } : null;
}

/** Whether the directory at a path is the one of these times, and has the same names as then. */
export function hasTimes(stat: BigIntStats, times: DirectoryTimes): boolean {
  return (
    stat.ctimeNs === times.ctimeNs &&
    stat.mtimeNs === times.mtimeNs &&
    stat.ino === times.ino &&
    stat.dev === times.dev
  );
}

/**
 * The latest change time of the files of a directory, 0 where it has none; null where a row is not as the index knows
 * it. A directory below has times of its own, and a link cannot change in its place.
 */
export function newestOfKnown(
  root: string,
  directory: RelativePath,
  rows: readonly IndexRow[],
): bigint | null {
  let newestNs = 0n;
  for (const row of rows) {
    if (row.dirty) return null;
    if (row.state.kind !== 'file') continue;
    const stat = statOrNull(root, childPath(directory, row.name));
    if (stat === null || !stat.isFile() || !isKnown(row, stat, false)) return null;
    if (stat.ctimeNs > newestNs) newestNs = stat.ctimeNs;
  }
  return newestNs;
}

/** What lies at the path, not following a link at its end; null when it cannot be told. */
export function statOrNull(root: string, path: RelativePath): BigIntStats | null {
  try {
    return fs.lstatSync(pathBelow(root, path), { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}
