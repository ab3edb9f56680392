import { parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { PathChange } from '../index/folder-index.ts';

/** Changes that were found and wait for their commit, each path once, with everything above them for quick questions. */
export class ChangeBatch {
  private readonly changes = new Map<RelativePath, PathChange>();
  private readonly touched = new Set<RelativePath>();

  get size(): number {
    return this.changes.size;
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
    for (let path: RelativePath | null = change.path; path !== null; path = parentPath(path)) {
      if (this.touched.has(path)) break;
      this.touched.add(path);
    }
  }

  /** Empties the batch and gives what was in it, in the order of adding. */
  take(): PathChange[] {
    const changes = [...this.changes.values()];
    this.changes.clear();
    this.touched.clear();
    return changes;
  }
}
