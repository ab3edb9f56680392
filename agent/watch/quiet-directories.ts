import { parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { DirectoryTimes } from '../index/directory-table.ts';
import type { FolderIndex } from '../index/folder-index.ts';
import { hasTimes, newestOfKnown, quietEntriesMax, statOrNull, timesOfStill } from './directory-times.ts';

/**
 * Directories that were compared with the index; what was found in them is recorded, or settles and has its own time. As
 * long as such a directory has the same times and inode, it has the same names; then only the files that the index knows
 * in it have to be asked whether they are as they were, which costs a small part of opening, listing and comparing. Nothing
 * is recorded here: whatever differs has the directory looked at.
 */
export class QuietDirectories {
  private readonly index: FolderIndex;
  private readonly nowMs: () => number;
  private readonly quiet = new Map<RelativePath, DirectoryTimes>();
  /** The look under way; `isClean` until it leaves something to do. */
  private look: { directory: RelativePath; times: DirectoryTimes; isClean: boolean } | null = null;

  constructor(index: FolderIndex, nowMs: () => number) {
    this.index = index;
    this.nowMs = nowMs;
  }

  /** True when a look would find nothing. `root`: resolved. */
  has(root: string, directory: RelativePath): boolean {
    const times = this.quiet.get(directory);
    if (times === undefined) return false;
    const stat = statOrNull(root, directory);
    if (stat === null || !hasTimes(stat, times)) return false;
    const rows = this.index.children(directory, '', quietEntriesMax);
    return rows.length < quietEntriesMax && newestOfKnown(root, directory, rows) !== null;
  }

  /** A look at the whole directory begins. */
  begin(root: string, directory: RelativePath): void {
    this.quiet.delete(directory);
    const stat = statOrNull(root, directory);
    const times = stat === null ? null : timesOfStill(stat, this.nowMs());
    this.look = times === null ? null : { directory, times, isClean: true };
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
