import type { ChunkingParameters } from './chunking-parameters.ts';
import { gearTable } from './gear-table.ts';

/** Older bytes have left the rolling hash. */
const rollingBytes = 32;

/** How much harder than the average a cut is before the average length, and easier behind it, in bits. */
const normalisation = 2;

/**
 * Cuts a stream by its content, with FastCDC: a rolling gear hash (h = 2h + gear[byte], 32 bits) that begins after the shortest
 * length; a chunk ends behind the byte where the upper bits of the hash are all zero, log2(average) + 2 bits before the average
 * length and log2(average) - 2 bits behind it, and at the longest length at the latest.
 * The cuts depend on the bytes alone, not on the pieces in which they come. Allocates nothing per chunk.
 * @see https://www.usenix.org/conference/atc16/technical-sessions/presentation/xia
 */
export class ChunkCutter {
  private readonly bytesMin: number;
  private readonly bytesAverage: number;
  private readonly bytesMax: number;
  private readonly maskBefore: number;
  private readonly maskBehind: number;
  private length = 0;
  private hash = 0;

  constructor(parameters: ChunkingParameters) {
    const bits = Math.log2(parameters.bytesAverage);
    this.bytesMin = parameters.bytesMin;
    this.bytesAverage = parameters.bytesAverage;
    this.bytesMax = parameters.bytesMax;
    this.maskBefore = upperBits(bits + normalisation);
    this.maskBehind = upperBits(bits - normalisation);
  }

  /** Bytes since the last cut: the length of the last chunk once the stream has ended. */
  get openBytes(): number {
    return this.length;
  }

  /**
   * Whether a chunk that begins with `chunk`, and does not end in it before, ends with it; false where only the end of a stream can
   * have ended it. Looks at the last bytes alone.
   */
  endsChunk(chunk: Uint8Array): boolean {
    const { length } = chunk;
    if (length <= this.bytesMin || length >= this.bytesMax) return length === this.bytesMax;
    let hash = 0;
    for (let at = Math.max(this.bytesMin, length - rollingBytes); at < length; at += 1) {
      hash = ((hash << 1) + (gearTable[chunk[at] as number] as number)) | 0;
    }
    return (hash & (length <= this.bytesAverage ? this.maskBefore : this.maskBehind)) === 0;
  }

  /** Goes on at `from`. Gives the position behind the chunk's last byte (continue there), or -1 where the chunk does not end in `bytes`. */
  next(bytes: Uint8Array, from: number): number {
    const end = bytes.length;
    const start = from - this.length; // where the chunk began, before these bytes if negative
    let at = Math.max(from, Math.min(end, start + this.bytesMin));
    let hash = this.hash;
    const averageEnd = Math.min(end, start + this.bytesAverage);
    const mask = this.maskBefore;
    while (at < averageEnd) {
      hash = ((hash << 1) + (gearTable[bytes[at] as number] as number)) | 0;
      at += 1;
      if ((hash & mask) === 0) return this.cut(at);
    }
    const maxEnd = Math.min(end, start + this.bytesMax);
    const easyMask = this.maskBehind;
    while (at < maxEnd) {
      hash = ((hash << 1) + (gearTable[bytes[at] as number] as number)) | 0;
      at += 1;
      if ((hash & easyMask) === 0) return this.cut(at);
    }
    if (at === start + this.bytesMax) return this.cut(at);
    this.length = at - start;
    this.hash = hash;
    return -1;
  }

  private cut(at: number): number {
    this.length = 0;
    this.hash = 0;
    return at;
  }
}

function upperBits(count: number): number {
  return (-1 << (32 - count)) | 0;
}
