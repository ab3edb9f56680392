import { createHash, type Hash } from 'node:crypto';
import fs from 'node:fs';
import { promisify } from 'node:util';
import { crashPoint } from '../../shared/io/crash-point.ts';
import type { WriteBack } from './write-back.ts';

const read = promisify(fs.read);
const write = promisify(fs.write);
const pieceBytes = 1024 * 1024;
/** Less is written at once: that takes less than to have another thread do it. */
const syncBytesMax = 128 * 1024;
/** So much is worth giving it to the disk. */
const unsyncedBytesMax = 32 * 1024 * 1024;

type Handlers = {
  onClose(): void;
  /** The disk did not take what was written: it may be read right as long as the kernel has it in memory, and not afterwards. */
  onLost(error: Error): void;
};

/** A large file on its way: a temporary file that is filled by ranges in any order and outlives the run. */
export class PartialFile {
  readonly fd: number;
  readonly #sizeBytes: number;
  readonly #handlers: Handlers;
  readonly #writeBack: WriteBack;
  /** Of everything up to `hashedBytes`: it follows ranges that come in order, and catches up with those that came early. */
  #hash: Hash = createHash('sha256');
  #hashedBytes = 0;
  /** Ranges above that were written or read already: where each ends, by its begin. */
  readonly #early = new Map<number, number>();
  #closed = false;
  #unsyncedBytes = 0;
  /** What the disk is writing now. */
  #syncing: Promise<void> | null = null;

  /** Takes over `fd`, open for reading and writing. */
  constructor(fd: number, sizeBytes: number, writeBack: WriteBack, handlers: Handlers) {
    this.fd = fd;
    this.#sizeBytes = sizeBytes;
    this.#writeBack = writeBack;
    this.#handlers = handlers;
  }

  /** Bytes that an earlier run left, not verified. */
  get bytesThere(): number {
    return fs.fstatSync(this.fd).size;
  }

  /** Resolves when the kernel has the bytes, which must stay as they are until then. No other write of that range is under way. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#write(offset, bytes);
    this.#syncWhereMuchWaits(bytes.length);
    crashPoint('restore.part-written');
  }

  /** The bytes of a range that is there. */
  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = await readRange(this.fd, offset, length);
    if (offset >= this.#hashedBytes) this.#noteThere(offset, bytes);
    return bytes;
  }

  /** Resolves when the disk is not writing it: whether it took it is known then. */
  async settled(): Promise<void> {
    await this.#syncing;
  }

  /** Cuts what is too long and compares the SHA-256 of the whole. */
  async verify(hash: Buffer): Promise<boolean> {
    if (this.bytesThere !== this.#sizeBytes) fs.ftruncateSync(this.fd, this.#sizeBytes);
    if (this.#hashedBytes === this.#sizeBytes) return this.#hash.copy().digest().equals(hash);
    return (await hashFile(this.fd)).equals(hash);
  }

  /** What the disk is writing is waited for first, in the background. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#syncing === null) this.#closeNow();
    else void this.#syncing.then(() => this.#closeNow());
  }

  #closeNow(): void {
    try {
      fs.closeSync(this.fd);
    } catch (error) {
      this.#handlers.onLost(error as Error);
    }
    this.#handlers.onClose();
  }

  #syncWhereMuchWaits(bytes: number): void {
    this.#unsyncedBytes += bytes;
    if (this.#unsyncedBytes < unsyncedBytesMax || this.#closed) return;
    const syncing = this.#writeBack.begin(this.fd, (error) => this.#handlers.onLost(error));
    if (syncing === null) return;
    this.#unsyncedBytes = 0;
    this.#syncing = syncing.finally(() => {
      this.#syncing = null;
    });
  }

  async #write(offset: number, bytes: Uint8Array): Promise<void> {
    if (bytes.length <= syncBytesMax) {
      let at = 0;
      while (at < bytes.length) at += fs.writeSync(this.fd, bytes, at, bytes.length - at, offset + at);
      this.#noteThere(offset, bytes);
      return;
    }
    const writing = writeRange(this.fd, offset, bytes);
    const isNext = offset === this.#hashedBytes;
    if (isNext) this.#add(bytes);
    await writing;
    if (isNext) this.#catchUp();
    else this.#noteThere(offset, bytes);
  }

  /** The file has these bytes there now. */
  #noteThere(offset: number, bytes: Uint8Array): void {
    if (offset < this.#hashedBytes) {
      // Hashed and written again: the running hash no longer speaks of the file.
      this.#hash = createHash('sha256');
      this.#hashedBytes = 0;
    }
    if (offset > this.#hashedBytes) {
      this.#early.set(offset, offset + bytes.length);
      return;
    }
    this.#add(bytes);
    this.#catchUp();
  }

  /** Reads again what came before its turn: mostly small parts, which the kernel still has in memory. */
  #catchUp(): void {
    for (;;) {
      const end = this.#early.get(this.#hashedBytes);
      if (end === undefined) return;
      this.#early.delete(this.#hashedBytes);
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, end - this.#hashedBytes));
      while (this.#hashedBytes < end) {
        const length = Math.min(piece.length, end - this.#hashedBytes);
        const bytesRead = fs.readSync(this.fd, piece, 0, length, this.#hashedBytes);
        if (bytesRead === 0) return;
        this.#add(piece.subarray(0, bytesRead));
      }
    }
  }

  #add(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#hashedBytes += bytes.length;
  }
}

async function writeRange(fd: number, offset: number, bytes: Uint8Array): Promise<void> {
  let at = 0;
  while (at < bytes.length) {
    at += (await write(fd, bytes, at, bytes.length - at, offset + at)).bytesWritten;
  }
}

/** SHA-256 of the whole file, read from its start without moving its position. */
export async function hashFile(fd: number): Promise<Buffer> {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafe(Math.max(1, Math.min(pieceBytes, fs.fstatSync(fd).size + 1)));
  let offset = 0;
  for (;;) {
    const { bytesRead } = await read(fd, piece, 0, piece.length, offset);
    if (bytesRead === 0) return hash.digest();
    hash.update(piece.subarray(0, bytesRead));
    offset += bytesRead;
  }
}

/** A regular file as a basis for chunks; null where there is none. */
export function openBasis(
  file: Buffer,
): { size: number; read(offset: number, length: number): Promise<Buffer>; close(): void } | null {
  let fd: number;
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
  } catch {
    return null;
  }
  const found = fs.fstatSync(fd);
  if (!found.isFile()) {
    fs.closeSync(fd);
    return null;
  }
  return {
    size: found.size,
    read: (offset, length) => readRange(fd, offset, length),
    close: () => fs.closeSync(fd),
  };
}

/** Fewer bytes where the file ends earlier. */
async function readRange(fd: number, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await read(fd, bytes, at, length - at, offset + at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}
