import path from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { SpillFile } from '../../shared/io/spill-file.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';
import type { SourceEntry } from '../source/source.ts';

/** A file's extents in the log: `count` of them from the one numbered `from` on. */
type ExtentRange = { from: number; count: number };

/** A file that was read to its end. */
export type LoggedFile = { size: number; hash: Buffer; extents: ExtentRange };

/** An entry of the source without its content; `file` is null for anything but a file. */
export type LoggedEntry = { entry: Omit<SourceEntry, 'content'>; file: LoggedFile | null };

const numbersPerExtent = 3;
const extentBytes = numbersPerExtent * Float64Array.BYTES_PER_ELEMENT;
const lengthBytes = 4;

/**
 * What a dump has cut so far, in its order. It grows with the number of files and the fragmentation of the dump, so
 * most of it is not held in memory: a dump of 200 GB may have millions of extents.
 */
export class CutLog {
  readonly #entries: SpillFile;
  readonly #extents: SpillFile;
  #fileFrom = 0;

  /** `directory`: where files without a name may be made. */
  constructor(directory: string) {
    this.#entries = new SpillFile(path.join(directory, '.entries.tmp'));
    this.#extents = new SpillFile(path.join(directory, '.extents.tmp'));
  }

  /** More extents of the file that is being cut: pack, offset and length, one after the other. */
  addExtents(extents: Float64Array): void {
    this.#extents.append(new Uint8Array(extents.buffer, extents.byteOffset, extents.byteLength));
  }

  /** The file that was being cut is at its end; the next extents are another's. */
  endFile(size: number, hash: Uint8Array): LoggedFile {
    const from = this.#fileFrom;
    this.#fileFrom = this.#extents.length / extentBytes;
    return { size, hash: Buffer.from(hash), extents: { from, count: this.#fileFrom - from } };
  }

  addEntry(logged: LoggedEntry): void {
    const bytes = serialize(logged);
    const length = Buffer.alloc(lengthBytes);
    length.writeUInt32BE(bytes.length);
    this.#entries.append(length);
    this.#entries.append(bytes);
  }

  *entries(): Generator<LoggedEntry> {
    for (let at = 0; at < this.#entries.length;) {
      const length = this.#entries.read(at, lengthBytes).readUInt32BE();
      const logged = deserialize(this.#entries.read(at + lengthBytes, length)) as LoggedEntry;
      yield logged;
      at += lengthBytes + length;
    }
  }

  /** A file's extents in blocks as long as a line of a manifest may be. */
  *extents({ from, count }: ExtentRange): Generator<Float64Array> {
    for (let at = from; at < from + count; at += sealedLimits.manifestExtentsPerLine) {
      const extents = Math.min(sealedLimits.manifestExtentsPerLine, from + count - at);
      const { buffer } = this.#extents.read(at * extentBytes, extents * extentBytes);
      yield new Float64Array(buffer, 0, extents * numbersPerExtent);
    }
  }

  close(): void {
    this.#entries.close();
    this.#extents.close();
  }
}
