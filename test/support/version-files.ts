import fs from 'node:fs';
import path from 'node:path';
import { listFiles } from './tree-compare.ts';

/** `path`: what it is a version of; `file`: where it lies below `versions/`. */
export type VersionFile = { path: string; file: string };

const stamp = /~\d{8}-\d{6}(-\d+)?(?=(\.[^./]*)?$)/;

/** The versions that lie as plain files in a receiver's `versions/`, named `name~YYYYMMDD-HHMMSS[-N].ext`. */
export function listVersionFiles(versionsDirectory: string): VersionFile[] {
  if (!fs.existsSync(versionsDirectory)) return [];
  return listFiles(versionsDirectory).map(({ path: file }) => {
    const name = path.posix.basename(file);
    if (!stamp.test(name)) throw new Error(`not named as a version: ${file}`);
    return { file, path: path.posix.join(path.posix.dirname(file), name.replace(stamp, '')) };
  });
}
