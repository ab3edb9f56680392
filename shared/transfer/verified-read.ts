import { hash as digest } from 'node:crypto';
import { limits } from '../protocol/limits.ts';
import type { ChunkMap } from './chunk-map.ts';

/** Reads exactly `length` bytes at `offset`, or gives null where there are fewer. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer | null>;

/** True when `bytes` have this SHA-256. */
export function hasHash(bytes: Uint8Array, hash: Buffer): boolean {
  return digest('sha256', bytes, 'buffer').equals(hash);
}

/**
 * Up to `lengthMax` bytes at `offset` of the content `hash`, or null when what `readAt` gives is not that content: a content that
 * travels whole is read and hashed whole, a larger one by the chunks that cover the range.
 */
export async function readVerified(
  readAt: ReadAt,
  content: { size: number; hash: Buffer; chunkMap: ChunkMap | null },
  offset: number,
  lengthMax: number,
): Promise<Buffer | null> {
  if (content.size <= limits.wholeFileBytesMax) {
    const whole = await readAt(0, content.size);
    if (whole === null || !hasHash(whole, content.hash)) return null;
    return whole.subarray(offset, offset + lengthMax);
  }
  const pieces: Buffer[] = [];
  let given = 0;
  while (given < lengthMax && offset + given < content.size) {
    const chunk = content.chunkMap?.at(offset + given) ?? null;
    if (chunk === null) return null;
    const skipped = offset + given - chunk.offset;
    const piece = Math.min(chunk.length - skipped, lengthMax - given);
    // half a chunk costs as much verification as a whole one: leave it for the next call
    if (given > 0 && skipped + piece < chunk.length) break;
    const bytes = await readAt(chunk.offset, chunk.length);
    if (bytes === null || !hasHash(bytes, chunk.hash)) return null;
    pieces.push(bytes.subarray(skipped, skipped + piece));
    given += piece;
  }
  const first = pieces[0];
  return pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces);
}
