import fs from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';

const pieceBytes = 1024 * 1024;
/** Up to this size a file is read whole before it is given out, so that one that changed meanwhile can be read again. */
const wholeBytesMax = 16 * 1024 * 1024;

/**
 * One file of a paths source. A file that changes while it is read is read once more, then taken as it is; one larger
 * than 16 MiB is taken as it is read.
 */
export class SourceFile {
  readonly #handle: FileHandle;
  readonly #name: Buffer;
  #stats: fs.BigIntStats;
  #whole: Buffer | null;
  #finished = false;
  #failed = false;
  #bytesRead = 0;

  private constructor(handle: FileHandle, name: Buffer, stats: fs.BigIntStats, whole: Buffer | null) {
    this.#handle = handle;
    this.#name = name;
    this.#stats = stats;
    this.#whole = whole;
  }

  /** null when there is no regular file at that path any more. Throws the system error when it cannot be read. */
  static async open(name: Buffer, options: { followLink: boolean }): Promise<SourceFile | null> {
    let handle: FileHandle;
    try {
      // What stands at the name may have changed since it was listed: a pipe must not block.
      const { O_RDONLY, O_NONBLOCK, O_NOCTTY, O_NOFOLLOW } = fs.constants;
      handle = await open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | (options.followLink ? 0 : O_NOFOLLOW));
    } catch (error) {
      if (['ENOENT', 'ELOOP', 'ENXIO'].includes(systemErrorCode(error) ?? '')) return null;
      throw error;
    }
    try {
      let stats = await handle.stat({ bigint: true });
      if (!stats.isFile()) {
        await handle.close();
        return null;
      }
      if (stats.size > wholeBytesMax) return new SourceFile(handle, name, stats, null);
      let whole = await readWhole(handle);
      const after = await handle.stat({ bigint: true });
      if (
        after.mtimeNs !== stats.mtimeNs ||
        after.ctimeNs !== stats.ctimeNs ||
        BigInt(whole.length) !== after.size
      ) {
        stats = after;
        whole = await readWhole(handle);
      }
      return new SourceFile(handle, name, stats, whole);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get stats(): fs.BigIntStats {
    return this.#stats;
  }

  /** True when `read` gave out everything. */
  get finished(): boolean {
    return this.#finished;
  }

  /** True when the disk refused a read half-way. */
  get failed(): boolean {
    return this.#failed;
  }

  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** The content, once. @throws CodedError SOURCE_FAILED */
  async *read(signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
    if (this.#whole !== null) {
      this.#bytesRead = this.#whole.length;
      if (this.#whole.length > 0) yield this.#whole;
      this.#whole = null;
      this.#finished = true;
      return;
    }
    for (;;) {
      if (signal.aborted) throw new CodedError('SOURCE_FAILED', 'reading the paths was cancelled');
      const piece = await this.#readPiece();
      if (piece.length === 0) break;
      this.#bytesRead += piece.length;
      yield piece;
    }
    this.#finished = true;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #readPiece(): Promise<Buffer> {
    const piece = Buffer.allocUnsafeSlow(pieceBytes);
    try {
      const { bytesRead } = await this.#handle.read(piece, 0, pieceBytes, this.#bytesRead);
      return piece.subarray(0, bytesRead);
    } catch (error) {
      this.#failed = true;
      const code = systemErrorCode(error) ?? 'failed';
      throw new CodedError('SOURCE_FAILED', `${this.#name.toString('utf8')} cannot be read: ${code}`, {
        cause: error,
      });
    }
  }
}

async function readWhole(handle: FileHandle): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let position = 0;
  for (;;) {
    const piece = Buffer.allocUnsafeSlow(64 * 1024);
    const { bytesRead } = await handle.read(piece, 0, piece.length, position);
    if (bytesRead === 0) break;
    pieces.push(piece.subarray(0, bytesRead));
    position += bytesRead;
    // It grew beyond the bound while it was read: what is there is taken.
    if (position > 2 * wholeBytesMax) break;
  }
  return Buffer.concat(pieces, position);
}
