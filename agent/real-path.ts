import fs from 'node:fs';
import path from 'node:path';

/** The path with every link on the way followed; as it is typed where it cannot be followed. */
export function realPath(file: string): string {
  try {
    return fs.realpathSync(file);
  } catch {
    return path.resolve(file);
  }
}

/** Where `inner` lies below `outer` (both absolute), empty for the same; null where it lies elsewhere. */
export function pathBelow(inner: string, outer: string): string | null {
  const relative = path.relative(outer, inner);
  return relative === '..' || relative.startsWith(`..${path.sep}`) ? null : relative;
}
