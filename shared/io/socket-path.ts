import fs from 'node:fs';
import path from 'node:path';

/** `sun_path` holds 108 bytes with the closing NUL. @see unix(7) */
const socketPathBytesMax = 107;

/**
 * A path of the unix socket `name` in `directory` that fits into a socket address, however long the directory's own
 * path is: then it goes through an open descriptor. Valid until `release` is called.
 */
export function openSocketPath(directory: string, name: string): { path: string; release: () => void } {
  const plain = path.join(directory, name);
  if (Buffer.byteLength(plain) <= socketPathBytesMax) return { path: plain, release: () => {} };
  const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  return { path: `/proc/self/fd/${fd}/${name}`, release: () => fs.closeSync(fd) };
}
