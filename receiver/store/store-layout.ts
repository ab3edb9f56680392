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
  incoming: DiskPath;
  journal: DiskPath;
  /** Directories that are made at open. */
  made: readonly DiskPath[];
  /** Paths below `current` that stay when they are empty, though no record names them. */
  standing: ReadonlySet<string>;
};

/** Of a mirror folder. `directory` is `<data>/<agentId>/<folder>`, absolute. */
export function mirrorLayout(directory: string): StoreLayout {
  const root = diskPath(directory);
  const [current, versions] = [`${root}/current`, `${root}/versions`];
  const common = { root, incoming: `${root}/incoming`, journal: `${root}/journal` };
  const made = [current, versions, common.incoming, common.journal];
  return { ...common, current, versions, made, standing: new Set() };
}

/** Of a sealed folder: its objects have their own names right below the root. */
export function sealedLayout(directory: string): StoreLayout {
  const root = diskPath(directory);
  const common = { root, incoming: `${root}/incoming`, journal: `${root}/journal` };
  const damaged = `${root}/damaged`;
  const made = [`${root}/packs`, `${root}/versions`, damaged, common.incoming, common.journal];
  return { ...common, current: root, versions: damaged, made, standing: new Set(['packs', 'versions']) };
}

/** The place of a path (or a version's name) below a directory of the store. */
export function placeBelow(directory: DiskPath, path: RelativePath | string): DiskPath {
  return path === '' ? directory : `${directory}/${path}`;
}
