import fs from 'node:fs';
import path from 'node:path';
import { listFiles } from '../support/tree-compare.ts';
import { DemoError } from './demo-error.ts';
import { formatBytes } from './narrator.ts';

export type MediaSource = { directory: string; files: number; bytes: number };

/** Mastodon's copies of other servers' media: large, and fetched again by themselves. */
export const isCache = (path: string): boolean => path === 'cache';

/**
 * Looks at the user's directory without changing anything: it must be there, readable, not empty, not hold the place
 * where the demo works, and leave room for the two copies that the demo makes.
 * @throws DemoError
 */
export function openMediaSource(directory: string, workDirectory: string): MediaSource {
  const real = realDirectory(directory);
  if (!path.relative(real, fs.realpathSync(workDirectory)).startsWith('..')) {
    throw new DemoError(
      `${directory} contains ${workDirectory}, where the demo keeps its copies`,
      'set TMPDIR to a directory outside of it',
    );
  }
  const found = listFiles(real, { ignore: isCache });
  const bytes = found.reduce((sum, file) => sum + file.bytes, 0);
  if (found.length === 0) {
    throw new DemoError(
      `${directory} has no files (cache/ does not count)`,
      'name a directory like public/system',
    );
  }
  const disk = fs.statfsSync(workDirectory);
  const freeBytes = disk.bavail * disk.bsize;
  // One copy on the receiver, one restored; a receiver leaves 5 % of the disk free.
  const neededBytes = bytes * 2 + disk.blocks * disk.bsize * 0.06;
  if (freeBytes < neededBytes) {
    throw new DemoError(
      `${directory} has ${formatBytes(bytes)}; two copies of it need ${formatBytes(neededBytes)} free in ${workDirectory}, there are ${formatBytes(freeBytes)}`,
      'name a smaller directory, or set TMPDIR to a larger disk',
    );
  }
  return { directory: real, files: found.length, bytes };
}

function realDirectory(directory: string): string {
  let real: string;
  try {
    real = fs.realpathSync(path.resolve(directory));
    if (!fs.statSync(real).isDirectory())
      throw new DemoError(`${directory} is not a directory`, 'name a directory');
    fs.accessSync(real, fs.constants.R_OK | fs.constants.X_OK);
  } catch (error) {
    if (error instanceof DemoError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const reason =
      code === 'ENOENT' ? 'does not exist' : code === 'EACCES' ? 'may not be read by you' : `failed: ${code}`;
    throw new DemoError(`${directory} ${reason}`, 'name a directory that you may read, like public/system');
  }
  return real;
}
