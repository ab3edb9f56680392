import fs from 'node:fs';

const memoryBytesMax = 1024 * 1024;

/**
 * Bytes that are appended and read back within one run. What does not fit into a megabyte of memory goes into a file
 * without a name, which is gone with the process, however that ends.
 */
export class SpillFile {
  readonly #place: string;
  readonly #tail = Buffer.allocUnsafeSlow(memoryBytesMax);
  #tailBytes = 0;
  /** Bytes in the file, all before the tail. */
  #written = 0;
  #fd: number | null = null;

  /** `place`: a path for the file, in a directory that is there; whatever has that name is removed. */
  constructor(place: string) {
    this.#place = place;
  }

  get length(): number {
    return this.#written + this.#tailBytes;
  }

  append(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length;) {
      if (this.#tailBytes === memoryBytesMax) this.#spill();
      const part = bytes.subarray(from, from + memoryBytesMax - this.#tailBytes);
      this.#tail.set(part, this.#tailBytes);
      this.#tailBytes += part.length;
      from += part.length;
    }
  }

  /** The bytes `[from, from + length)`, in a buffer of their own. They must have been appended. */
  read(from: number, length: number): Buffer<ArrayBuffer> {
    if (from < 0 || from + length > this.length) throw new RangeError('behind the end of the spilled bytes');
    const bytes = Buffer.alloc(length);
    let got = 0;
    while (this.#fd !== null && got < length && from + got < this.#written) {
      const wanted = Math.min(length - got, this.#written - from - got);
      const count = fs.readSync(this.#fd, bytes, got, wanted, from + got);
      if (count === 0) throw new Error(`the file at ${this.#place} became shorter`);
      got += count;
    }
    if (got < length) {
      this.#tail.copy(bytes, got, from + got - this.#written, from + length - this.#written);
    }
    return bytes;
  }

  close(): void {
    if (this.#fd !== null) fs.closeSync(this.#fd);
    this.#fd = null;
  }

  #spill(): void {
    if (this.#fd === null) {
      fs.rmSync(this.#place, { force: true });
      this.#fd = fs.openSync(this.#place, 'wx+', 0o600);
      fs.rmSync(this.#place);
    }
    for (let from = 0; from < this.#tailBytes;) {
      from += fs.writeSync(this.#fd, this.#tail, from, this.#tailBytes - from, this.#written + from);
    }
    this.#written += this.#tailBytes;
    this.#tailBytes = 0;
  }
}
