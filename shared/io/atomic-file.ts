import fs from 'node:fs';
import path from 'node:path';

/**
 * Replaces `file` with `content`, whole or not at all; when it returns, content and name are on disk.
 * The file gets the owner of its directory, so that a command run as root leaves nothing of root's in a home.
 */
export function writeFileAtomic(file: string, content: string | Uint8Array, mode = 0o600): void {
  const directory = path.dirname(file);
  const temporary = path.join(directory, `.${path.basename(file)}.${process.pid}.tmp`);
  try {
    const fd = fs.openSync(temporary, 'w', mode);
    try {
      const owner = fs.statSync(directory);
      if (process.getuid?.() === 0) fs.fchownSync(fd, owner.uid, owner.gid);
      fs.fchmodSync(fd, mode);
      fs.writeFileSync(fd, content);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(directory);
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
