import { hash as digest } from 'node:crypto';
import { limits } from '../protocol/limits.ts';
import type { ChunkMap, PlacedChunk } from './chunk-map.ts';

/** Fills `into` with what is at `offset`; false where there are fewer bytes. */
export type ReadAt = (offset: number, into: Buffer) => Promise<boolean>;

/** True when `bytes` have this SHA-256. */
export function hasHash(bytes: Uint8Array, hash: Buffer): boolean {
  return digest('sha256', bytes, 'buffer').equals(hash);
}

/**
 * Reads what fits into `room` of the content `hash`, from `offset` on, and gives how many bytes that is; null when what
 * `readAt` gives is not that content. A content that travels whole is read and hashed whole, a larger one by the chunks that
 * cover the range.
 */
export async function readVerified(
  readAt: ReadAt,
  content: { size: number; hash: Buffer; chunkMap: ChunkMap | null },
  offset: number,
  room: Buffer,
): Promise<number | null> {
  if (content.size <= limits.wholeFileBytesMax) {
    const whole = { offset: 0, length: content.size, hash: content.hash };
    return readPart(readAt, whole, offset, room);
  }
  let given = 0;
  while (given < room.length && offset + given < content.size) {
    const chunk = content.chunkMap?.at(offset + given) ?? null;
    if (chunk === null) return null;
    const rest = chunk.offset + chunk.length - offset - given;
    // half a chunk costs as much verification as a whole one: leave it for the next call
    if (given > 0 && rest > room.length - given) break;
    const bytes = await readPart(readAt, chunk, offset + given, room.subarray(given));
    if (bytes === null) return null;
    given += bytes;
  }
  return given;
}

/** Of the chunk, the part from `offset` (in the content) on. It is read to where it belongs if all of it is wanted. */
async function readPart(
  readAt: ReadAt,
  chunk: PlacedChunk,
  offset: number,
  room: Buffer,
): Promise<number | null> {
  const skipped = offset - chunk.offset;
  const length = Math.min(chunk.length - skipped, room.length);
  const isWhole = length === chunk.length;
  const bytes = isWhole ? room.subarray(0, length) : Buffer.allocUnsafeSlow(chunk.length);
  if (!(await readAt(chunk.offset, bytes)) || !hasHash(bytes, chunk.hash)) return null;
  if (!isWhole) bytes.copy(room, 0, skipped, skipped + length);
  return length;
}
