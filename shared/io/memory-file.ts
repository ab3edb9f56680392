import fs from 'node:fs';
import path from 'node:path';
import { CodedError, systemErrorCode } from '../errors/coded-error.ts';

/** What statfs(2) calls the file systems that live in memory alone: tmpfs and ramfs. */
const memoryTypes: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

/**
 * Refuses a path whose content would reach a disk, or where something is already. Writes nothing.
 * @throws CodedError USAGE
 */
export function requireMemoryPath(file: string): void {
  const directory = path.dirname(path.resolve(file));
  let type: number;
  try {
    ({ type } = fs.statfsSync(directory));
  } catch (cause) {
    throw unusable(file, `${directory} cannot be used: ${systemErrorCode(cause) ?? String(cause)}`, cause);
  }
  if (!memoryTypes.has(type)) {
    throw unusable(file, `${directory} is on a disk, where a private key must not get`);
  }
  if (fs.lstatSync(file, { throwIfNoEntry: false }) !== undefined) {
    throw unusable(file, 'there is a file of this name');
  }
}

/**
 * Writes a new file in memory, readable for this user only (0600); a part of it does not stay. Gone with the next start of the machine.
 * @throws CodedError USAGE (a disk, a file that exists, no permission)
 */
export function writeMemoryFile(file: string, content: string): void {
  requireMemoryPath(file);
  try {
    const fd = fs.openSync(file, 'wx', 0o600);
    try {
      // what was opened, should the directory have been exchanged since it was looked at
      if (!memoryTypes.has(fs.statfsSync(`/proc/self/fd/${fd}`).type))
        throw unusable(file, 'it is on a disk');
      fs.writeFileSync(fd, content);
    } catch (cause) {
      fs.rmSync(file, { force: true });
      throw cause;
    } finally {
      fs.closeSync(fd);
    }
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    throw unusable(file, systemErrorCode(cause) ?? String(cause), cause);
  }
}

function unusable(file: string, why: string, cause?: unknown): CodedError {
  return new CodedError('USAGE', `${file} cannot be written: ${why}`, {
    hint: 'name a new file in memory (tmpfs), such as /dev/shm/private.asc or /run/user/UID/private.asc',
    cause,
  });
}
