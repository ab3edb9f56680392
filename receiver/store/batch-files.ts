import { crashPoint } from '../../shared/io/crash-point.ts';
import type { Disk, DiskPath } from '../../shared/io/disk.ts';
import { parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { inParallel } from './in-parallel.ts';
import type { ChangeEntry } from './journal-entry.ts';
import { placeBelow, type StoreLayout } from './store-layout.ts';

/** A file in `incoming/` and the time that it is to have; null: any. */
export type UnsyncedContent = { temp: string; mtimeNs: bigint | null };

/** Files that get their place below `current`, and directories that are made there. */
export type Additions = {
  incoming: DiskPath;
  current: DiskPath;
  files: readonly { path: RelativePath; temp: string }[];
  directories: readonly RelativePath[];
};

/** The file work of a batch that nothing has to be asked for on the way. */
export type BatchFiles = {
  /** Sets the times; contents and times are durable when it resolves, names are not. @throws CodedError DISK_FAILED, STORE_FULL */
  syncContents(incoming: DiskPath, contents: readonly UnsyncedContent[]): Promise<void>;
  /**
   * Durable when it resolves with true. False: something that the store does not know stands in the way, and what was done
   * until then is what `carryOut` goes on from with `redo`. @throws CodedError DISK_FAILED, STORE_FULL
   */
  add(additions: Additions): Promise<boolean>;
};

const syncsAtOnce = 16;

/** Does it in the thread of the caller. */
export function batchFilesOn(disk: Disk): BatchFiles {
  return {
    syncContents: async (incoming, contents) =>
      inParallel(contents, syncsAtOnce, async ({ temp, mtimeNs }) => {
        const fd = disk.open(`${incoming}/${temp}`, 'update');
        try {
          if (mtimeNs !== null) disk.setModified(fd, mtimeNs);
          await disk.syncData(fd);
        } finally {
          disk.close(fd);
        }
      }),
    add: async (additions) => {
      const dirty = new AddedFiles(disk, additions).put();
      if (dirty === null) return false;
      await inParallel([...dirty], syncsAtOnce, (place) => disk.syncDirectory(place));
      crashPoint('store.current-synced');
      return true;
    },
  };
}

/** What the changes add, where they do nothing else to the trees; null where they do. */
export function additionsOf(
  changes: readonly ChangeEntry[],
  { incoming, current }: Pick<StoreLayout, 'incoming' | 'current'>,
): Additions | null {
  const files: { path: RelativePath; temp: string }[] = [];
  const directories: RelativePath[] = [];
  for (const change of changes) {
    if (change.type === 'missing' || change.type === 'gap' || change.type === 'index') continue;
    if (change.type !== 'set' || change.replaced !== null) return null;
    if (change.holding.state.kind === 'directory') directories.push(change.path);
    else if (change.temp !== null) files.push({ path: change.path, temp: change.temp });
  }
  return { incoming, current, files, directories };
}

class AddedFiles {
  readonly #disk: Disk;
  readonly #additions: Additions;
  /** Directories known to be real directories, by place. */
  readonly #known: Set<DiskPath>;
  /** Of these, those made by this batch: nothing can be in the way in them. */
  readonly #made = new Set<DiskPath>();
  readonly #dirty = new Set<DiskPath>();

  constructor(disk: Disk, additions: Additions) {
    this.#disk = disk;
    this.#additions = additions;
    this.#known = new Set([additions.current]);
  }

  /** Gives the directories that have to be synced; null where something stands in the way. */
  put(): ReadonlySet<DiskPath> | null {
    const { incoming, current, files, directories } = this.#additions;
    for (const path of directories) {
      if (!this.#ensure(path)) return null;
      this.#dirty.add(placeBelow(current, parentPath(path) ?? ''));
    }
    for (const { path, temp } of files) {
      const parent = parentPath(path) ?? '';
      if (!this.#ensure(parent)) return null;
      const [directory, target] = [placeBelow(current, parent), placeBelow(current, path)];
      if (!this.#made.has(directory) && this.#disk.stat(target) !== null) return null;
      this.#dirty.add(directory);
      this.#disk.rename(`${incoming}/${temp}`, target);
      crashPoint('store.renamed');
    }
    return this.#dirty;
  }

  /** Makes the directory and those above it; false where something else is there. */
  #ensure(path: RelativePath | ''): boolean {
    const { current } = this.#additions;
    const place = placeBelow(current, path);
    if (this.#known.has(place)) return true;
    const above = parentPath(path as RelativePath) ?? '';
    if (!this.#ensure(above)) return false;
    const directory = placeBelow(current, above);
    const found = this.#made.has(directory) ? null : this.#disk.stat(place);
    if (found !== null && found.kind !== 'directory') return false;
    if (found === null) {
      this.#disk.mkdir(place);
      this.#made.add(place);
      this.#dirty.add(directory);
    }
    this.#known.add(place);
    return true;
  }
}
