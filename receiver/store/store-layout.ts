import { diskPath, type DiskPath } from '../../shared/io/disk.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';

/** Where a mirror store keeps what. @see docs/storage-format.md */
export type StoreLayout = {
  root: DiskPath;
  current: DiskPath;
  versions: DiskPath;
  incoming: DiskPath;
  journal: DiskPath;
};

/** `directory` is `<data>/<agentId>/<folder>`, absolute. */
export function storeLayout(directory: string): StoreLayout {
  const root = diskPath(directory);
  return {
    root,
    current: `${root}/current`,
    versions: `${root}/versions`,
    incoming: `${root}/incoming`,
    journal: `${root}/journal`,
  };
}

/** The place of a path (or a version's name) below a directory of the store. */
export function placeBelow(directory: DiskPath, path: RelativePath | string): DiskPath {
  return path === '' ? directory : `${directory}/${path}`;
}
