import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const fsync = promisify(fs.fsync);

/**
 * Replaces `file` with `content`, whole or not at all; when it returns, content and name are on disk.
 * The file gets the owner of its directory, so that a command run as root leaves nothing of root's in a home.
 */
export function writeFileAtomic(file: string, content: string | Uint8Array, mode = 0o600): void {
  const { temporary, fd } = writeTemporary(file, content, mode);
  try {
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(path.dirname(file));
}

/**
 * The same without waiting for the disk: `content` is written when the call returns and may change from then on; when the
 * promise resolves, content and name are on disk.
 */
export async function writeFileAtomicLater(file: string, content: Uint8Array, mode = 0o600): Promise<void> {
  const { temporary, fd } = writeTemporary(file, content, mode);
  try {
    try {
      await fsync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  const directory = fs.openSync(path.dirname(file), 'r');
  try {
    await fsync(directory);
  } finally {
    fs.closeSync(directory);
  }
}

/** A file beside `file`, open, with all of `content`, of which nothing is on disk for certain. */
function writeTemporary(
  file: string,
  content: string | Uint8Array,
  mode: number,
): { temporary: string; fd: number } {
  const directory = path.dirname(file);
  const temporary = path.join(directory, `.${path.basename(file)}.${process.pid}.tmp`);
  let fd: number | null = null;
  try {
    fd = fs.openSync(temporary, 'w', mode);
    const owner = fs.statSync(directory);
    if (process.getuid?.() === 0) fs.fchownSync(fd, owner.uid, owner.gid);
    fs.fchmodSync(fd, mode);
    fs.writeFileSync(fd, content);
    return { temporary, fd };
  } catch (error) {
    if (fd !== null) fs.closeSync(fd);
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

/** Makes the directory's entries (creations, renames, removals in it) durable. */
export function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
