import fs, { type BigIntStats } from 'node:fs';
import { fsPath, joinPath, parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { FolderIndex } from '../index/folder-index.ts';
import { isKnown } from './signature.ts';

/** Rows of one directory that a glance compares; above it the directory is looked at. */
const rowsMax = 1000;
/** A directory that changed less long ago may change again without its times telling. */
const stillMs = 2000;

/**
 * Directories that were compared with the index; what was found in them is recorded, or settles and has its own time. As
 * long as such a directory has the same times and inode, it has the same names; then only the files that the index knows
 * in it have to be asked whether they are as they were, which costs a small part of opening, listing and comparing. Nothing
 * is recorded here: whatever differs has the directory looked at.
 */
export class QuietDirectories {
  private readonly index: FolderIndex;
  private readonly nowMs: () => number;
  private readonly quiet = new Map<RelativePath, string>();
  /** The look under way; `isClean` until it leaves something to do. */
  private look: { directory: RelativePath; times: string; isClean: boolean } | null = null;

  constructor(index: FolderIndex, nowMs: () => number) {
    this.index = index;
    this.nowMs = nowMs;
  }

  /** True when a look would find nothing. `root`: resolved. */
  has(root: string, directory: RelativePath): boolean {
    const times = this.quiet.get(directory);
    if (times === undefined) return false;
    const stat = statOrNull(fsPath(root, directory));
    if (stat === null || timesOf(stat) !== times) return false;
    const rows = this.index.children(directory, '', rowsMax);
    return (
      rows.length < rowsMax &&
      rows.every((row) => {
        // A directory below has times of its own, and a link cannot change in its place.
        if (row.state.kind !== 'file') return !row.dirty;
        const file = statOrNull(fsPath(root, joinPath(directory, row.name)));
        return file !== null && file.isFile() && isKnown(row, file, false);
      })
    );
  }

  /** A look at the whole directory begins. */
  begin(root: string, directory: RelativePath): void {
    this.quiet.delete(directory);
    const stat = statOrNull(fsPath(root, directory));
    const newestNs = stat === null || stat.ctimeNs > stat.mtimeNs ? stat?.ctimeNs : stat.mtimeNs;
    const isStill = newestNs !== undefined && this.nowMs() - Number(newestNs / 1_000_000n) > stillMs;
    this.look = stat === null || !isStill ? null : { directory, times: timesOf(stat), isClean: true };
  }

  /** Something at the path could not be read: its directory is to be looked at again, whatever its times say. */
  disturb(path: RelativePath): void {
    for (const directory of [path, parentPath(path)]) {
      if (directory === null) continue;
      this.quiet.delete(directory);
      if (this.look?.directory === directory) this.look.isClean = false;
    }
  }

  /** The look that began last has ended in order. */
  end(): void {
    if (this.look?.isClean === true) this.quiet.set(this.look.directory, this.look.times);
    this.look = null;
  }

  /** Forgets all but these. */
  keepOnly(directories: readonly RelativePath[]): void {
    const kept = new Set(directories);
    for (const directory of this.quiet.keys()) if (!kept.has(directory)) this.quiet.delete(directory);
  }

  clear(): void {
    this.quiet.clear();
    this.look = null;
  }
}

function timesOf({ ino, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino}:${mtimeNs}:${ctimeNs}`;
}

function statOrNull(path: Buffer): BigIntStats | null {
  try {
    return fs.lstatSync(path, { bigint: true });
  } catch {
    return null;
  }
}
