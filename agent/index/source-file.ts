import fs from 'node:fs';
import { systemErrorCode } from '../../shared/errors/coded-error.ts';
import { fsPath, type RelativePath } from '../../shared/records/relative-path.ts';

/** An open regular file of the source; `size` is what fstat said when it was opened. */
export type SourceFile = { readonly fd: number; readonly size: number; close(): void };

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;

/** Opens the resolved root of a folder (a link to it is followed). The caller closes the descriptor. */
export function openRoot(root: string): number {
  return fs.openSync(fs.realpathSync(root), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

/** Names `name` (a byte string) inside an open directory, so that no link can be swapped into the way to it. */
export function entryPath(directoryFd: number, name: string): string | Buffer {
  const text = `/proc/self/fd/${directoryFd}/${name}`;
  return isAscii(name) ? text : Buffer.from(text, 'latin1');
}

/** Names a path below a root; links on the way are followed. */
export function pathBelow(root: string, path: RelativePath): string | Buffer {
  return isAscii(path) ? `${root}/${path}` : fsPath(root, path);
}

/** Opens a directory inside an open directory without following a link. The caller closes the descriptor. */
export function openDirectoryIn(directoryFd: number, name: string): number {
  return fs.openSync(entryPath(directoryFd, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

/** Opens anything inside an open directory for reading, without following a link and without waiting on a FIFO. */
export function openFileIn(directoryFd: number, name: string): number {
  return fs.openSync(entryPath(directoryFd, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

/**
 * Opens a directory below the root, component by component. The caller closes the descriptor.
 * `visit` is called with each directory on the way, the root first.
 */
export function openDirectoryBelow(
  root: string,
  directory: RelativePath,
  visit: (fd: number) => void = () => {},
): number {
  let fd = openRoot(root);
  for (const name of directory === '' ? [] : directory.split('/')) {
    try {
      visit(fd);
      const next = openDirectoryIn(fd, name);
      fs.closeSync(fd);
      fd = next;
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  }
  return fd;
}

/** True when the error says that the name is not there (any more) as what it was taken for. */
export function isAbsence(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(systemErrorCode(error) ?? '');
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}
