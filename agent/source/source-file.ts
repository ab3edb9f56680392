import fs from 'node:fs';
import { promisify } from 'node:util';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';

const pieceBytes = 1024 * 1024;
/** Up to this size a file is read whole before it is given out, so that one that changed meanwhile can be read again. */
const wholeBytesMax = 2 * 1024 * 1024;

/** What the files of a source are read into, one after the other: the largest that is read whole, which may grow meanwhile. */
export const sourceFileRoomBytes = wholeBytesMax + 4096;

const readAsync = promisify(fs.read);

/**
 * One file of a paths source. A file that changes while it is read is read once more, then taken as it is; one larger
 * than 2 MiB is taken as it is read. Small files are read synchronously, as the walk is: a trip through the thread
 * pool for each of five calls would take longer than all else.
 */
export class SourceFile {
  readonly #fd: number;
  readonly #name: Buffer;
  readonly #stats: fs.BigIntStats;
  readonly #room: Buffer;
  #whole: Buffer | null;
  #finished = false;
  #failed = false;
  #bytesRead = 0;

  private constructor(file: {
    fd: number;
    name: Buffer;
    stats: fs.BigIntStats;
    room: Buffer;
    whole: Buffer | null;
  }) {
    this.#fd = file.fd;
    this.#name = file.name;
    this.#stats = file.stats;
    this.#room = file.room;
    this.#whole = file.whole;
  }

  /**
   * null when there is no regular file at that path any more. `room`: `sourceFileRoomBytes`, for no other file before this one
   * was read. Throws the system error when it cannot be read.
   */
  static open(name: Buffer, room: Buffer, options: { followLink: boolean }): SourceFile | null {
    let fd: number;
    try {
      // What stands at the name may have changed since it was listed: a pipe must not block.
      const { O_RDONLY, O_NONBLOCK, O_NOCTTY, O_NOFOLLOW } = fs.constants;
      fd = fs.openSync(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | (options.followLink ? 0 : O_NOFOLLOW));
    } catch (error) {
      if (['ENOENT', 'ELOOP', 'ENXIO'].includes(systemErrorCode(error) ?? '')) return null;
      throw error;
    }
    try {
      let stats = fs.fstatSync(fd, { bigint: true });
      if (!stats.isFile()) {
        fs.closeSync(fd);
        return null;
      }
      if (stats.size > wholeBytesMax) return new SourceFile({ fd, name, stats, room, whole: null });
      let whole = readWhole(fd, room);
      const after = fs.fstatSync(fd, { bigint: true });
      if (changed(stats, after) || BigInt(whole.length) !== after.size) {
        stats = after;
        if (stats.size > wholeBytesMax) return new SourceFile({ fd, name, stats, room, whole: null });
        whole = readWhole(fd, room);
      }
      return new SourceFile({ fd, name, stats, room, whole });
    } catch (error) {
      fs.closeSync(fd);
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

  /** The content, once, in pieces that are valid until the next one is asked for. @throws CodedError SOURCE_FAILED */
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

  close(): void {
    fs.closeSync(this.#fd);
  }

  async #readPiece(): Promise<Buffer> {
    try {
      const { bytesRead } = await readAsync(this.#fd, this.#room, 0, pieceBytes, this.#bytesRead);
      return this.#room.subarray(0, bytesRead);
    } catch (error) {
      this.#failed = true;
      const code = systemErrorCode(error) ?? 'failed';
      throw new CodedError('SOURCE_FAILED', `${this.#name.toString('utf8')} cannot be read: ${code}`, {
        cause: error,
      });
    }
  }
}

function changed(before: fs.BigIntStats, after: fs.BigIntStats): boolean {
  return before.mtimeNs !== after.mtimeNs || before.ctimeNs !== after.ctimeNs || before.size !== after.size;
}

/** Up to the end, or as far as there is room: a file that grows without end is taken as far as that. */
function readWhole(fd: number, room: Buffer): Buffer {
  let length = 0;
  while (length < room.length) {
    const count = fs.readSync(fd, room, length, room.length - length, length);
    if (count === 0) break;
    length += count;
  }
  return room.subarray(0, length);
}
