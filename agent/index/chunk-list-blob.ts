import type { ChunkList } from '../../shared/chunking/chunk-list.ts';

/** Larger files have a chunk list. */
export const chunkedAboveBytes = 1024 * 1024;

const entryBytes = 36;

/** A chunk list as the database keeps it: for each chunk 4 bytes of length (big-endian) and its SHA-256. */
export function encodeChunkList(chunks: ChunkList): Buffer {
  const bytes = Buffer.alloc(chunks.length * entryBytes);
  chunks.forEach((chunk, at) => {
    bytes.writeUInt32BE(chunk.length, at * entryBytes);
    chunk.hash.copy(bytes, at * entryBytes + 4);
  });
  return bytes;
}

/** The inverse of `encodeChunkList`. */
export function decodeChunkList(bytes: Buffer): ChunkList {
  return Array.from({ length: bytes.length / entryBytes }, (_, at) => ({
    length: bytes.readUInt32BE(at * entryBytes),
    hash: bytes.subarray(at * entryBytes + 4, (at + 1) * entryBytes),
  }));
}
