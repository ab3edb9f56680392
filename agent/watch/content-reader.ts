import { createHash, hash } from 'node:crypto';
import fs from 'node:fs';
import { ChunkListBuilder, type ChunkList } from '../../shared/chunking/chunk-list.ts';
import { fileChunking, type ChunkingParameters } from '../../shared/chunking/chunking-parameters.ts';
import { chunkedAboveBytes } from '../index/chunk-list-blob.ts';

/** What was read of a file: SHA-256 of all bytes up to its end, their number, and the chunks where there are more than 1 MiB. */
export type ReadContent = { hash: Buffer; size: number; chunks: ChunkList | null };

/**
 * Reads open files to their end, for hash and chunk list at once. A generator, so that a large file does not keep the
 * thread: it yields between pieces. Only one piece is in memory; the readers of a thread share it, because no reader
 * keeps anything in it across a yield.
 */
export class ContentReader {
  private readonly piece = Buffer.allocUnsafeSlow(chunkedAboveBytes + 1);
  private readonly chunking: ChunkingParameters;

  constructor(chunking = fileChunking) {
    this.chunking = chunking;
  }

  /** Stops soon behind `expectedBytes`: a file that grows faster is not read for ever. Throws the system error of a failed read; the descriptor stays open. */
  *read(fd: number, expectedBytes: number): Generator<undefined, ReadContent> {
    const first = this.fill(fd, 0);
    if (first.length <= chunkedAboveBytes) {
      return { hash: hash('sha256', first, 'buffer'), size: first.length, chunks: null };
    }
    const whole = createHash('sha256');
    const chunks = new ChunkListBuilder(this.chunking);
    let size = 0;
    for (let piece = first; piece.length > 0 && size <= expectedBytes; piece = this.fill(fd, size)) {
      whole.update(piece);
      chunks.update(piece);
      size += piece.length;
      yield;
    }
    return { hash: whole.digest(), size, chunks: chunks.finish() };
  }

  private fill(fd: number, position: number): Buffer {
    let filled = 0;
    while (filled < this.piece.length) {
      const count = fs.readSync(fd, this.piece, filled, this.piece.length - filled, position + filled);
      if (count === 0) break;
      filled += count;
    }
    return this.piece.subarray(0, filled);
  }
}
