import { diskErrorCode, type Disk, type DiskPath } from '../../shared/io/disk.ts';
import { placeBelow } from './store-layout.ts';

type Walked = {
  disk: Disk;
  base: DiskPath;
  /** Whether a path is known to be no directory, so that the disk need not be asked. */
  isKnown: (path: string) => boolean;
};

/**
 * Everything below the directory that is no directory itself, as paths relative to it: by the bytes of the names, the
 * content of a directory in its place. `after`: behind that path, whether it still is there or not.
 */
export function* walkTree(walked: Walked, after: string | null): Generator<string> {
  yield* walk(walked, '', after === null ? [] : after.split('/'));
}

function* walk(walked: Walked, below: string, after: readonly string[]): Generator<string> {
  const { base, disk, isKnown } = walked;
  const [from, ...rest] = after;
  for (const name of listed(disk, placeBelow(base, below))) {
    if (from !== undefined && name < from) continue;
    const isFrom = name === from;
    const path = below === '' ? name : `${below}/${name}`;
    const kind = isKnown(path) ? 'file' : (disk.stat(placeBelow(base, path))?.kind ?? null);
    if (kind === 'directory') yield* walk(walked, path, isFrom ? rest : []);
    else if (kind !== null && !isFrom) yield path;
  }
}

/** Nothing where there is no directory (any more). */
function listed(disk: Disk, place: DiskPath): string[] {
  try {
    return disk.list(place);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(diskErrorCode(error) ?? '')) return [];
    throw error;
  }
}
