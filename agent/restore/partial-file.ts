import { createHash, type Hash } from 'node:crypto';
import fs from 'node:fs';
import { promisify } from 'node:util';

const read = promisify(fs.read);
const pieceBytes = 1024 * 1024;

/** A large file on its way: a temporary file that is filled by ranges in any order and outlives the run. */
export class PartialFile {
  readonly fd: number;
  readonly #sizeBytes: number;
  readonly #onClose: () => void;
  /** Of everything up to `hashedBytes`, as long as ranges come in order from the start. */
  #hash: Hash = createHash('sha256');
  #hashedBytes = 0;
  #closed = false;

  /** Takes over `fd`, open for reading and writing. */
  constructor(fd: number, sizeBytes: number, onClose: () => void) {
    this.fd = fd;
    this.#sizeBytes = sizeBytes;
    this.#onClose = onClose;
  }

  /** Bytes that an earlier run left, not verified. */
  get bytesThere(): number {
    return fs.fstatSync(this.fd).size;
  }

  write(offset: number, bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) at += fs.writeSync(this.fd, bytes, at, bytes.length - at, offset + at);
    this.#hashInOrder(offset, bytes);
  }

  /** The bytes of a range that is there. */
  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = await readRange(this.fd, offset, length);
    if (offset === this.#hashedBytes) this.#hashInOrder(offset, bytes);
    return bytes;
  }

  /** Cuts what is too long and compares the SHA-256 of the whole. */
  async verify(hash: Buffer): Promise<boolean> {
    if (this.bytesThere !== this.#sizeBytes) fs.ftruncateSync(this.fd, this.#sizeBytes);
    if (this.#hashedBytes === this.#sizeBytes) return this.#hash.copy().digest().equals(hash);
    return (await hashFile(this.fd)).equals(hash);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    fs.closeSync(this.fd);
    this.#onClose();
  }

  #hashInOrder(offset: number, bytes: Uint8Array): void {
    if (offset < this.#hashedBytes) {
      // Hashed and written again: the running hash no longer speaks of the file.
      this.#hash = createHash('sha256');
      this.#hashedBytes = 0;
    }
    if (offset !== this.#hashedBytes) return;
    this.#hash.update(bytes);
    this.#hashedBytes += bytes.length;
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
