import type Database from 'better-sqlite3';
import { chunkEntryBytes, chunkKeyAt, chunkLengthAt, chunkOffsetAt } from './chunk-entry.ts';

export type ChunkLocation = { pack: number; offset: number; length: number };

type Followed = { pack: number; entries: Buffer; at: number };

/** Entries of packs that are kept. */
const keptBytesMax = 4 * 1024 * 1024;
/** How far behind the expected chunk others of its pack are compared: as many as an hour changes side by side. */
const comparedAhead = 32;

/**
 * Finds chunks that were sealed before. A pack keeps the order of the stream, so after one chunk of a pack its neighbour is
 * expected, or one that lies a little further. Where the stream follows a pack, that pack's entries are read at once: where
 * nothing changed, the database is asked three times for each pack, and where chunks of many packs alternate, as
 * they do after weeks of changes, once for each chunk.
 */
export class ChunkLookup {
  readonly #one: Database.Statement<[Buffer], ChunkLocation>;
  readonly #entriesOf: Database.Statement<[number], { entries: Buffer }>;
  readonly #isUsable: (pack: number) => boolean;
  /** Entries of packs, the one that was needed longest ago first. */
  readonly #kept = new Map<number, Buffer>();
  #keptBytes = 0;
  /** Behind the chunk that was found last. */
  #behind: { pack: number; offset: number } | null = null;
  /** The pack that the stream follows, and the entry expected next. */
  #followed: Followed | null = null;
  /** What was followed when the next chunk was another one than expected. */
  #refuted: Followed | null = null;

  /** `isUsable`: only chunks of such packs are expected, because those of others may move. */
  constructor(database: Database.Database, isUsable: (pack: number) => boolean) {
    this.#isUsable = isUsable;
    this.#one = database.prepare('SELECT pack, offset, length FROM chunks WHERE id = ?');
    this.#entriesOf = database.prepare('SELECT entries FROM pack_chunks WHERE pack = ?');
  }

  /** Length of the chunk that `findNext` may find, in bytes; 0 where none is expected, or not any more. */
  expectedLength(): number {
    const followed = this.#followed;
    if (followed === null || followed === this.#refuted || followed.at >= followed.entries.length) return 0;
    return chunkLengthAt(followed.entries, followed.at);
  }

  /** Where the chunk behind the one that was found last is, if it is this one: in a usable pack. */
  findNext(key: string): ChunkLocation | null {
    const followed = this.#followed;
    if (followed === null || followed.at >= followed.entries.length) return null;
    if (chunkKeyAt(followed.entries, followed.at) === key) return this.#take(followed);
    this.#refuted = followed;
    return null;
  }

  /** `key`: the id as latin1 text. */
  find(key: string): ChunkLocation | null {
    const id = Buffer.from(key, 'latin1');
    const ahead = this.#findAhead(key, id.readUInt32BE(0));
    if (ahead !== null) return ahead;
    const found = this.#one.get(id);
    if (found === undefined) return null;
    const { pack, offset, length } = found;
    const follows = this.#behind?.pack === pack && this.#behind.offset === offset;
    this.#behind = { pack, offset: offset + length };
    this.#followed = null;
    if (this.#isUsable(pack) && (follows || this.#kept.has(pack))) {
      const entries = this.#entries(pack);
      this.#followed = { pack, entries, at: placeOf(entries, offset) + chunkEntryBytes };
    }
    return found;
  }

  #findAhead(key: string, beginning: number): ChunkLocation | null {
    if (this.#followed === null) return null;
    const { pack, entries, at } = this.#followed;
    const end = Math.min(entries.length, at + comparedAhead * chunkEntryBytes);
    for (let place = at; place < end; place += chunkEntryBytes) {
      if (entries.readUInt32BE(place) === beginning && chunkKeyAt(entries, place) === key)
        return this.#take({ pack, entries, at: place });
    }
    return null;
  }

  #take({ pack, entries, at }: Followed): ChunkLocation {
    const [offset, length] = [chunkOffsetAt(entries, at), chunkLengthAt(entries, at)];
    this.#followed = { pack, entries, at: at + chunkEntryBytes };
    this.#behind = { pack, offset: offset + length };
    return { pack, offset, length };
  }

  #entries(pack: number): Buffer {
    let entries = this.#kept.get(pack);
    if (entries === undefined) {
      entries = this.#entriesOf.get(pack)?.entries;
      if (entries === undefined) throw new Error(`no entries of pack ${pack}`);
      this.#keptBytes += entries.length;
    } else this.#kept.delete(pack);
    this.#kept.set(pack, entries);
    for (const [oldest, { length }] of this.#kept) {
      if (this.#keptBytes <= keptBytesMax) break;
      this.#kept.delete(oldest);
      this.#keptBytes -= length;
    }
    return entries;
  }
}

/** Of the entry with that offset: entries are in the order of offsets. */
function placeOf(entries: Buffer, offset: number): number {
  let [low, high] = [0, entries.length / chunkEntryBytes - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (chunkOffsetAt(entries, middle * chunkEntryBytes) < offset) low = middle + 1;
    else high = middle;
  }
  return low * chunkEntryBytes;
}
