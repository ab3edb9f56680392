import { parentPath, rootPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { DirectoryNote, DirectoryTimes } from '../index/directory-table.ts';
import type { PathChange } from '../index/folder-index.ts';

/**
 * What was found and waits for its commit: changes, each path once, with everything above them for quick questions, and
 * what is to be noted of directories, which was true when those changes were made.
 */
export class ChangeBatch {
  private readonly changes = new Map<RelativePath, PathChange>();
  private readonly touched = new Set<RelativePath>();

  /** Of directories that were compared, with the times that they are to have. */
  private readonly timed = new Map<RelativePath, { times: DirectoryTimes | null }>();
  private notes: DirectoryNote[] = [];

  /** How many changes. */
  get size(): number {
    return this.changes.size;
  }

  /** How many notes. */
  get noted(): number {
    return this.notes.length;
  }

  has(path: RelativePath): boolean {
    return this.changes.has(path);
  }

  /** True when the batch has something at the path or below it. */
  concerns(path: RelativePath): boolean {
    return this.touched.has(path);
  }

  add(change: PathChange): void {
    this.changes.set(change.path, change);
    this.disturb(parentPath(change.path) ?? rootPath);
    for (let path: RelativePath | null = change.path; path !== null; path = parentPath(path)) {
      if (this.touched.has(path)) break;
      this.touched.add(path);
    }
  }

  note(note: DirectoryNote): void {
    this.notes.push(note);
    if (note.type === 'compared') this.timed.set(note.path, note);
  }

  /** Empties the batch and gives what was in it, in the order of adding. */
  take(): { changes: PathChange[]; notes: DirectoryNote[] } {
    const { notes } = this;
    const changes = [...this.changes.values()];
    this.changes.clear();
    this.touched.clear();
    this.timed.clear();
    this.notes = [];
    return { changes, notes };
  }

  /** A change in a directory is later than what was noted of it. */
  private disturb(directory: RelativePath): void {
    const note = this.timed.get(directory);
    if (note !== undefined) note.times = null;
  }
}
