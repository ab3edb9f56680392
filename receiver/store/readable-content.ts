import { createHash } from 'node:crypto';
import { diskErrorCode, type Disk, type DiskPath } from '../../shared/io/disk.ts';

const hashBytes = 4 * 1024 * 1024;

/** Content of a stored file, open for reading; stays readable when the file is replaced meanwhile. */
export type ReadableContent = {
  readonly size: number;
  /** Fewer bytes than asked for only at the end. @throws CodedError DISK_FAILED */
  read(offset: number, length: number): Buffer;
  close(): void;
};

/** Opens one of the places that are said to hold a content; null when nothing of its size is there. @throws CodedError DISK_FAILED */
export type HeldCopy = () => ReadableContent | null;

/** Null when there is no regular file. */
export function openContent(disk: Disk, place: DiskPath): ReadableContent | null {
  const stat = disk.stat(place);
  if (stat?.kind !== 'file') return null;
  const fd = openIfThere(disk, place);
  if (fd === null) return null;
  return {
    size: stat.size,
    read(offset, length) {
      const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, stat.size - offset)));
      let got = 0;
      while (got < bytes.length) {
        const more = disk.read(fd, bytes.subarray(got), offset + got);
        if (more === 0) break;
        got += more;
      }
      return bytes.subarray(0, got);
    },
    close: () => disk.close(fd),
  };
}

/** The file, open for reading; null where there is none any more. @throws CodedError DISK_FAILED */
export function openIfThere(disk: Disk, place: DiskPath): number | null {
  try {
    return disk.open(place, 'read');
  } catch (error) {
    if (diskErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Whether a regular file is there that has the size and the hash. */
export function isContentAt(
  disk: Disk,
  place: DiskPath,
  { size, hash }: { size: number; hash: Buffer },
): boolean {
  const content = openContent(disk, place);
  if (content === null) return false;
  try {
    if (content.size !== size) return false;
    return contentHash(content).equals(hash);
  } finally {
    content.close();
  }
}

/** SHA-256 of all of it. @throws CodedError DISK_FAILED */
export function contentHash(content: ReadableContent): Buffer {
  const hasher = createHash('sha256');
  for (let offset = 0; offset < content.size; offset += hashBytes)
    hasher.update(content.read(offset, hashBytes));
  return hasher.digest();
}

const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** Whether that is the hash of no bytes. */
export function isEmptyHash(hash: Buffer): boolean {
  return hash.toString('hex') === emptyHash;
}
