import type { ChunkList } from '../chunking/chunk-list.ts';

/** A chunk and where it begins. */
export type PlacedChunk = { offset: number; length: number; hash: Buffer };

/** A chunk list that finds the chunk at an offset. */
export class ChunkMap {
  readonly list: ChunkList;
  private readonly offsets: Float64Array;

  constructor(list: ChunkList) {
    this.list = list;
    this.offsets = new Float64Array(list.length + 1);
    for (const [position, { length }] of list.entries()) {
      this.offsets[position + 1] = (this.offsets[position] ?? 0) + length;
    }
  }

  /** Bytes of all chunks. */
  get size(): number {
    return this.offsets[this.list.length] ?? 0;
  }

  /** The chunk that holds the byte at `offset`, or null behind the end. */
  at(offset: number): PlacedChunk | null {
    if (offset < 0 || offset >= this.size) return null;
    let low = 0;
    let high = this.list.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.offsets[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    const chunk = this.list[low];
    return chunk === undefined ? null : { offset: this.offsets[low] ?? 0, ...chunk };
  }
}
