import { createHash, hash as digest, type Hash } from 'node:crypto';
import { ChunkCutter } from './chunk-cutter.ts';
import type { ChunkingParameters } from './chunking-parameters.ts';

/** The chunks of a content in order; `hash` is the SHA-256 of the chunk's bytes. */
export type ChunkList = { length: number; hash: Buffer }[];

/** Makes the chunk list of a content that comes in pieces of any length. */
export class ChunkListBuilder {
  private readonly cutter: ChunkCutter;
  private readonly chunks: ChunkList = [];
  private hash: Hash = createHash('sha256');

  constructor(parameters: ChunkingParameters) {
    this.cutter = new ChunkCutter(parameters);
  }

  update(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const openBytes = this.cutter.openBytes;
      const cut = this.cutter.next(bytes, from);
      if (cut < 0) {
        this.hash.update(bytes.subarray(from));
        return;
      }
      this.hash.update(bytes.subarray(from, cut));
      this.add(openBytes + cut - from);
      from = cut;
    }
  }

  /** The list; call it once, behind the last piece. */
  finish(): ChunkList {
    if (this.cutter.openBytes > 0) this.add(this.cutter.openBytes);
    return this.chunks;
  }

  private add(length: number): void {
    this.chunks.push({ length, hash: this.hash.digest() });
    this.hash = createHash('sha256');
  }
}

/** The chunk list of a content that shares nothing with any other, like all that is encrypted: as few chunks as there can be. */
export function longestChunks(content: Uint8Array, { bytesMax }: ChunkingParameters): ChunkList {
  const chunks: ChunkList = [];
  for (let offset = 0; offset < content.length; offset += bytesMax) {
    const chunk = content.subarray(offset, offset + bytesMax);
    chunks.push({ length: chunk.length, hash: digest('sha256', chunk, 'buffer') });
  }
  return chunks;
}
