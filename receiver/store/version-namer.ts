import type { Disk, DiskPath } from '../../shared/io/disk.ts';
import { parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { placeBelow } from './store-layout.ts';
import { fallbackVersionName, versionName } from './version-name.ts';

/** Finds names below `versions/` that nothing has: no version in the index, nothing on disk, none in `taken`. */
export class VersionNamer {
  readonly #disk: Disk;
  readonly #index: MirrorIndex;
  readonly #versions: DiskPath;

  constructor({ disk, index }: { disk: Disk; index: MirrorIndex }, { versions }: { versions: DiskPath }) {
    this.#disk = disk;
    this.#index = index;
    this.#versions = versions;
  }

  freeName(path: RelativePath, at: number, taken: ReadonlySet<string>): string {
    const named = this.#isWayClear(path, taken) ? versionName : fallbackVersionName;
    for (let attempt = 1; ; attempt += 1) {
      const name = named(path, at, attempt);
      const free =
        !taken.has(name) &&
        !this.#index.isVersionName(name) &&
        this.#disk.stat(placeBelow(this.#versions, name)) === null;
      if (free) return name;
    }
  }

  /** False when a version's file has the name that a directory above this path's versions would need. */
  #isWayClear(path: RelativePath, taken: ReadonlySet<string>): boolean {
    for (let above = parentPath(path); above !== null && above !== ''; above = parentPath(above)) {
      if (taken.has(above) || this.#index.isVersionName(above)) return false;
    }
    return true;
  }
}

/** Whether every directory on the way to `path` below `base` is there and is not a link. */
export function isPlainWay(disk: Disk, base: DiskPath, path: RelativePath | string): boolean {
  for (
    let above = parentPath(path as RelativePath);
    above !== null && above !== '';
    above = parentPath(above)
  ) {
    if (disk.stat(placeBelow(base, above))?.kind !== 'directory') return false;
  }
  return true;
}

/** A name like that of a version which nothing has below the directory, and none of `taken`. */
export function freeNameBelow(
  disk: Disk,
  base: DiskPath,
  path: RelativePath,
  at: number,
  taken: ReadonlySet<string>,
): string {
  const isWayClear = (name: string): boolean => {
    for (
      let above = parentPath(name as RelativePath);
      above !== null && above !== '';
      above = parentPath(above)
    ) {
      const kind = disk.stat(placeBelow(base, above))?.kind ?? null;
      if (taken.has(above) || (kind !== null && kind !== 'directory')) return false;
    }
    return true;
  };
  const named = isWayClear(path) ? versionName : fallbackVersionName;
  for (let attempt = 1; ; attempt += 1) {
    const name = named(path, at, attempt);
    if (!taken.has(name) && disk.stat(placeBelow(base, name)) === null) return name;
  }
}
