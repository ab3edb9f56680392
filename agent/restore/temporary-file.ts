import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { systemErrorCode } from '../../shared/errors/coded-error.ts';
import { encodeRelativePath } from '../../shared/records/relative-path.ts';
import type { PlannedFile, PlannedSymlink } from './restore-plan.ts';
import type { HeldPlace } from './target-tree.ts';

const { O_RDWR, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = fs.constants;

const prefix = '.mastokeep-restore.';

/** Whether a file with this name was left by a restore that did not finish it. */
export function isTemporaryName(name: string): boolean {
  return name.startsWith(prefix) && /^[0-9a-f]{32}$/.test(name.slice(prefix.length));
}

/** The same name in every run, so that the next one continues; different for another content. */
export function temporaryFileName(file: PlannedFile): string {
  return `${prefix}${fileKey(file)}`;
}

/** The file's temporary name in its directory. */
export function temporaryFile(place: HeldPlace, file: PlannedFile): Buffer {
  return temporaryIn(place, fileKey(file));
}

/** What tells the file's temporary name from all others: 32 hexadecimal digits. */
export function fileKey(file: PlannedFile): string {
  return keyOf([encodeRelativePath(file.path), Buffer.of(0), file.state.hash]);
}

/** The same for a link. */
export function temporaryLink(place: HeldPlace, link: PlannedSymlink): Buffer {
  return temporaryIn(place, keyOf([encodeRelativePath(link.path), Buffer.of(1), link.state.target]));
}

/** The same for what is noted of a restore itself; `subject` tells it from others. */
export function temporaryNote(place: HeldPlace, subject: string): Buffer {
  return temporaryIn(place, keyOf([Buffer.from(subject), Buffer.of(2)]));
}

function keyOf(parts: Buffer[]): string {
  return createHash('sha256').update(Buffer.concat(parts)).digest('hex').slice(0, 32);
}

function temporaryIn(place: HeldPlace, key: string): Buffer {
  return Buffer.concat([place.directory, Buffer.from(`/${prefix}${key}`)]);
}

/** A new file, whatever stands at the name; for writing. */
export function createTemporary(file: Buffer): number {
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  try {
    return fs.openSync(file, flags, 0o600);
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw error;
    fs.rmSync(file);
    return fs.openSync(file, flags, 0o600);
  }
}

/** Continues a temporary file only if it is a plain file of ours with no other name. */
export function openTemporary(file: Buffer): number {
  try {
    const fd = fs.openSync(file, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    const found = fs.fstatSync(fd);
    if (found.isFile() && found.nlink === 1 && found.uid === process.getuid?.()) return fd;
    fs.closeSync(fd);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT')
      return fs.openSync(file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  }
  fs.rmSync(file, { force: true });
  return fs.openSync(file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
}

/** Writes all of it at the file's position. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  let at = 0;
  while (at < bytes.length) at += fs.writeSync(fd, bytes, at);
}
