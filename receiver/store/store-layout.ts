import { diskPath, type DiskPath } from '../../shared/io/disk.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';

/**
 * Where a store keeps what. `current`: the base of the paths in its index; `versions`: what made way for something.
 * @see docs/storage-format.md
 */
export type StoreLayout = {
  root: DiskPath;
  current: DiskPath;
  versions: DiskPath;
  /** What was found damaged, until it is whole again; made when there is something. */
  damaged: DiskPath;
  incoming: DiskPath;
  journal: DiskPath;
  /** Directories that are made at open. */
  made: readonly DiskPath[];
  /** Paths below `current` that stay when they are empty, though no record names them. */
  standing: ReadonlySet<string>;
  /** Directories of the root in which every file is one that the index names. */
  scanned: readonly string[];
  /** Names in the root of what the store leaves there for a while. */
  unscanned: ReadonlySet<string>;
};

const unscanned = new Set(['damaged', 'incoming', 'lock']);

/** Of a mirror folder. `directory` is `<data>/<agentId>/<folder>`, absolute. */
export function mirrorLayout(directory: string): StoreLayout {
  const root = diskPath(directory);
  const [current, versions, damaged] = [`${root}/current`, `${root}/versions`, `${root}/damaged`];
  const common = { root, incoming: `${root}/incoming`, journal: `${root}/journal` };
  const made = [current, versions, common.incoming, common.journal];
  const scanned = ['current', 'versions'];
  return { ...common, current, versions, damaged, made, standing: new Set(), scanned, unscanned };
}

/** Of a sealed folder: its objects have their own names right below the root. */
export function sealedLayout(directory: string): StoreLayout {
  const root = diskPath(directory);
  const common = { root, incoming: `${root}/incoming`, journal: `${root}/journal` };
  const damaged = `${root}/damaged`;
  const made = [`${root}/packs`, `${root}/versions`, damaged, common.incoming, common.journal];
  const scanned = ['packs', 'versions'];
  return {
    ...common,
    current: root,
    versions: damaged,
    damaged,
    made,
    standing: new Set(scanned),
    scanned,
    unscanned,
  };
}

/** The place of a path (or a version's name) below a directory of the store. */
export function placeBelow(directory: DiskPath, path: RelativePath | string): DiskPath {
  return path === '' ? directory : `${directory}/${path}`;
}
