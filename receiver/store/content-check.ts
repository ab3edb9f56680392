import { createHash } from 'node:crypto';
import { isCoded } from '../../shared/errors/coded-error.ts';
import type { Disk, DiskPath, DiskStat } from '../../shared/io/disk.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { DamageKind } from './journal-entry.ts';
import { openIfThere } from './readable-content.ts';
import { placeBelow } from './store-layout.ts';
import { isPlainWay } from './version-namer.ts';

/** `found`: what is wrong, null for a file that is whole. `identity`: of what was looked at, null where nothing is there. */
export type ContentCheck = { found: DamageKind | null; identity: string | null };

/** Told of the bytes that a disk has just read; resolves when the next ones may be. */
export type Pace = (bytes: number) => Promise<void>;

/** What opening a file costs a disk with a moving head, in bytes that it reads in that time. */
export const bytesPerFile = 64 * 1024;
/** Small enough that a write waits for one of them only. */
export const pieceBytes = 256 * 1024;

/** Reads a stored file and compares it with what it has to be, a piece at a time. @throws CodedError DISK_FAILED (not of the file) */
export async function checkContent(
  disk: Disk,
  base: DiskPath,
  path: RelativePath | string,
  wanted: { size: number; hash: Buffer },
  pace: Pace,
): Promise<ContentCheck> {
  const stat = statFile(disk, base, path);
  if (stat?.kind !== 'file') return { found: 'missing', identity: stat?.identity ?? null };
  const { identity } = stat;
  if (stat.size !== wanted.size) return { found: 'size', identity };
  await pace(bytesPerFile);
  try {
    const hash = await hashFile(disk, placeBelow(base, path), pace);
    if (hash === null) return { found: 'missing', identity: null };
    return { found: hash.equals(wanted.hash) ? null : 'content', identity };
  } catch (error) {
    if (!isCoded(error, 'DISK_FAILED')) throw error;
    return { found: 'unreadable', identity };
  }
}

/** What is there; null where nothing is, or the way to it leads over a link. */
export function statFile(disk: Disk, base: DiskPath, path: RelativePath | string): DiskStat | null {
  return isPlainWay(disk, base, path) ? disk.stat(placeBelow(base, path)) : null;
}

/** Null where no file is there any more. */
async function hashFile(disk: Disk, place: DiskPath, pace: Pace): Promise<Buffer | null> {
  const fd = openIfThere(disk, place);
  if (fd === null) return null;
  try {
    const hasher = createHash('sha256');
    const piece = Buffer.allocUnsafeSlow(pieceBytes);
    for (let offset = 0; ;) {
      const length = await disk.readLater(fd, piece, offset);
      if (length === 0) return hasher.digest();
      hasher.update(piece.subarray(0, length));
      offset += length;
      await pace(length);
    }
  } finally {
    disk.close(fd);
  }
}
