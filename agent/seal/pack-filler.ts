import { createHash, type Hash } from 'node:crypto';
import { ChunkCutter } from '../../shared/chunking/chunk-cutter.ts';
import type { ChunkingParameters } from '../../shared/chunking/chunking-parameters.ts';
import { ChunkNamer } from '../../shared/sealing/chunk-id.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';
import { encodeChunkEntry } from './chunk-entry.ts';
import { ChunkFilter } from './chunk-filter.ts';
import type { ChunkLocation } from './chunk-lookup.ts';

/** A full pack, not sealed yet. `chunks`: entries of `chunkEntryBytes`. */
export type FilledPack = { pack: number; content: Uint8Array<ArrayBuffer>; chunks: Uint8Array<ArrayBuffer> };

/** Extents of the file that is being cut: pack, offset and length, one after the other. */
export type FlatExtents = Float64Array<ArrayBuffer>;

/** A file that was read to its end. */
export type CutFile = { size: number; hash: Buffer };

export type FillerStats = { plainBytes: number; newBytes: number; resealedBytes: number };

const extentNumbersMax = 3 * sealedLimits.manifestExtentsPerLine;

type Deps = {
  /** How long the chunk is that `findNext` would find; 0 where none is expected. */
  expectedLength(): number;
  /** Where a chunk was sealed before, in a pack that may be referred to, if that is easily told. `key`: its id as latin1 text. */
  findNext(key: string): ChunkLocation | null;
  /** Where a chunk was sealed before, in whatever pack. */
  find(key: string): ChunkLocation | null;
  onPack(pack: FilledPack): void;
  onExtents(extents: FlatExtents): void;
  /** Where a pack's content is gathered: `packBytesMax` bytes, which go away with the pack. */
  takeRoom(): ArrayBuffer;
};

type Options = {
  secret: Buffer;
  chunking: ChunkingParameters;
  /** Packs that may be referred to. */
  known: ReadonlySet<number>;
  /** Packs of which everything that is still used is sealed again. */
  forgotten: ReadonlySet<number>;
  firstPack: number;
  packBytesMax?: number;
};

/** Cuts files, finds what is known and fills packs with the rest, in the order of the stream. */
export class PackFiller {
  readonly stats: FillerStats = { plainBytes: 0, newBytes: 0, resealedBytes: 0 };
  readonly #deps: Deps;
  readonly #options: Options;
  readonly #packBytesMax: number;
  /** The chunk that began in an earlier piece. */
  readonly #carry: Buffer;
  #carried = 0;
  readonly #namer: ChunkNamer;
  #cutter: ChunkCutter;
  #hash: Hash = createHash('sha256');
  #size = 0;
  #extents: number[] = [];
  #pack: number;
  #content: Buffer<ArrayBuffer> | null = null;
  #filled = 0;
  #entries: Buffer[] = [];
  /** Chunks of packs that are not in the database yet, by id (latin1). */
  readonly #fresh = new Map<string, ChunkLocation>();
  readonly #freshKeys = new Map<number, string[]>();
  readonly #sealedNow = new Set<number>();
  /** Chunks in the database that may be referred to, where they are all of this run: most chunks of a first dump need no look-up. */
  readonly #committed: ChunkFilter | null;

  constructor(deps: Deps, options: Options) {
    this.#deps = deps;
    this.#options = options;
    this.#packBytesMax = options.packBytesMax ?? sealedLimits.packPlainBytesMax;
    this.#carry = Buffer.allocUnsafeSlow(options.chunking.bytesMax);
    this.#namer = new ChunkNamer(options.secret, options.chunking.bytesMax);
    this.#cutter = new ChunkCutter(options.chunking);
    this.#pack = options.firstPack;
    this.#committed = options.known.size === 0 ? new ChunkFilter() : null;
  }

  /** More of the file. */
  write(piece: Uint8Array): void {
    this.#hash.update(piece);
    this.#size += piece.length;
    let from = 0;
    while (from < piece.length) {
      const known = this.#takeExpected(piece, from);
      if (known > 0) {
        from += known;
        continue;
      }
      const end = this.#cutter.next(piece, from);
      if (end < 0) {
        this.#carry.set(piece.subarray(from), this.#carried);
        this.#carried += piece.length - from;
        return;
      }
      if (this.#carried === 0) {
        this.#take(piece.subarray(from, end));
      } else {
        this.#carry.set(piece.subarray(from, end), this.#carried);
        const length = this.#carried + end - from;
        this.#carried = 0;
        this.#take(this.#carry.subarray(0, length));
      }
      from = end;
    }
  }

  /** The end of the file; the next byte begins another. */
  endFile(): CutFile {
    if (this.#carried > 0) {
      const length = this.#carried;
      this.#carried = 0;
      this.#take(this.#carry.subarray(0, length));
    }
    this.#giveExtents(this.#extents.length);
    const file = { size: this.#size, hash: this.#hash.digest() };
    this.#cutter = new ChunkCutter(this.#options.chunking);
    this.#hash = createHash('sha256');
    this.#size = 0;
    return file;
  }

  /** Gives away the open pack where something is in it. */
  flush(): void {
    if (this.#content === null) return;
    const content = this.#content.subarray(0, this.#filled);
    const chunks = Buffer.concat(this.#entries);
    const pack = this.#pack;
    this.#sealedNow.add(pack);
    this.#content = null;
    this.#filled = 0;
    this.#entries = [];
    this.#pack += 1;
    this.#deps.onPack({ pack, content, chunks: new Uint8Array(chunks) });
  }

  /** The chunks of all packs up to this one can be found in the database from here on. */
  committed(last: number): void {
    for (const [pack, keys] of this.#freshKeys) {
      if (pack > last) continue;
      for (const key of keys) {
        this.#fresh.delete(key);
        this.#committed?.add(key);
      }
      this.#freshKeys.delete(pack);
    }
  }

  /** Whether chunks of this pack are referred to. */
  isUsable(pack: number): boolean {
    const { known, forgotten } = this.#options;
    return this.#sealedNow.has(pack) || (known.has(pack) && !forgotten.has(pack));
  }

  /**
   * Takes the chunk that is expected, where that comes next: gives its length, otherwise 0. It need not be searched for its end,
   * which takes as long as naming it: the same bytes are cut at the same place.
   */
  #takeExpected(piece: Uint8Array, from: number): number {
    const length = this.#carried > 0 ? 0 : this.#deps.expectedLength();
    if (length === 0 || length > piece.length - from) return 0;
    const chunk = piece.subarray(from, from + length);
    if (!this.#cutter.endsChunk(chunk)) return 0;
    const next = this.#deps.findNext(this.#namer.name(chunk));
    if (next === null) return 0;
    this.stats.plainBytes += length;
    this.#refer(next.pack, next.offset, next.length);
    return length;
  }

  #take(chunk: Uint8Array): void {
    this.stats.plainBytes += chunk.length;
    const key = this.#namer.name(chunk);
    const next = this.#deps.findNext(key);
    if (next !== null) {
      this.#refer(next.pack, next.offset, next.length);
      return;
    }
    const fresh = this.#fresh.get(key);
    if (fresh !== undefined) {
      this.#refer(fresh.pack, fresh.offset, fresh.length);
      return;
    }
    const found = this.#committed?.mayHold(key) === false ? null : this.#deps.find(key);
    if (found !== null && this.isUsable(found.pack)) {
      this.#refer(found.pack, found.offset, found.length);
      return;
    }
    if (found !== null && this.#options.forgotten.has(found.pack)) this.stats.resealedBytes += chunk.length;
    else this.stats.newBytes += chunk.length;
    this.#add(key, chunk);
  }

  #add(key: string, chunk: Uint8Array): void {
    if (this.#filled + chunk.length > this.#packBytesMax) this.flush();
    this.#content ??= Buffer.from(this.#deps.takeRoom());
    this.#content.set(chunk, this.#filled);
    this.#entries.push(encodeChunkEntry(key, this.#filled, chunk.length));
    const location = { pack: this.#pack, offset: this.#filled, length: chunk.length };
    this.#fresh.set(key, location);
    const keys = this.#freshKeys.get(this.#pack) ?? [];
    keys.push(key);
    this.#freshKeys.set(this.#pack, keys);
    this.#filled += chunk.length;
    this.#refer(location.pack, location.offset, location.length);
  }

  #giveExtents(numbers: number): void {
    if (numbers > 0) this.#deps.onExtents(Float64Array.from(this.#extents.splice(0, numbers)));
  }

  #refer(pack: number, offset: number, length: number): void {
    const extents = this.#extents;
    const last = extents.length - 3;
    if (
      last >= 0 &&
      extents[last] === pack &&
      (extents[last + 1] as number) + (extents[last + 2] as number) === offset
    ) {
      extents[last + 2] = (extents[last + 2] as number) + length;
    } else {
      // none of them grows any more
      if (extents.length >= extentNumbersMax) this.#giveExtents(extents.length);
      extents.push(pack, offset, length);
    }
  }
}
