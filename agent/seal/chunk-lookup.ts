import type Database from 'better-sqlite3';

export type ChunkLocation = { pack: number; offset: number; length: number };

/** How many chunks ahead are read, for each that was found one behind the other. */
const aheadPerFound = 4;
const aheadMax = 256;
const nearMax = 16_384;

/** A chunk that was read ahead; `next`: the one behind it in the pack, where that was read with it. */
type NearChunk = ChunkLocation & { key: string; next: NearChunk | null };

/**
 * Finds chunks that were sealed before. A pack keeps the order of the stream, so after one chunk of a pack the next
 * one is probably its neighbour, which is compared first. Neighbours are read ahead, more of them the longer the stream
 * follows a pack: where nothing changed, the database is asked a few times for each pack, and where chunks of many packs
 * alternate, as they do after weeks of changes, about twice for each.
 */
export class ChunkLookup {
  readonly #one: Database.Statement<[Buffer], ChunkLocation>;
  readonly #ahead: Database.Statement<[number, number, number], ChunkLocation & { id: Buffer }>;
  readonly #isUsable: (pack: number) => boolean;
  readonly #near = new Map<string, NearChunk>();
  /** Keys in `#near` as they were read, the longest kept first. */
  readonly #windows: string[][] = [];
  /** Behind the chunk that was found last; `found`: how many one behind the other. Null where no neighbour is left. */
  #position: { pack: number; offset: number; found: number } | null = null;
  #expected: NearChunk | null = null;

  /** `isUsable`: only chunks of such packs are kept, because those of others may move. */
  constructor(database: Database.Database, isUsable: (pack: number) => boolean) {
    this.#isUsable = isUsable;
    this.#one = database.prepare('SELECT pack, offset, length FROM chunks WHERE id = ?');
    this.#ahead = database.prepare(
      'SELECT id, pack, offset, length FROM chunks WHERE pack = ? AND offset >= ? ORDER BY offset LIMIT ?',
    );
  }

  /** Where the chunk behind the one that was found last is, if it is this one: in a usable pack. */
  findNext(key: string): ChunkLocation | null {
    if (this.#expected === null) this.#readAhead();
    const expected = this.#expected;
    return expected === null || expected.key !== key ? null : this.#found(expected, expected.next);
  }

  /** `key`: the id as latin1 text. */
  find(key: string): ChunkLocation | null {
    const near = this.#near.get(key);
    if (near !== undefined) return this.#found(near, near.next);
    const found = this.#one.get(Buffer.from(key, 'latin1'));
    if (found === undefined) return null;
    return this.#isUsable(found.pack) ? this.#found(found, null) : found;
  }

  #found(chunk: ChunkLocation, next: NearChunk | null): ChunkLocation {
    const { pack, offset, length } = chunk;
    const before = this.#position;
    const follows = before !== null && before.pack === pack && before.offset === offset;
    this.#position = { pack, offset: offset + length, found: follows ? before.found + 1 : 1 };
    this.#expected = next;
    return chunk;
  }

  #readAhead(): void {
    if (this.#position === null) return;
    const { pack, offset, found } = this.#position;
    const keys: string[] = [];
    let last: NearChunk | null = null;
    for (const row of this.#ahead.iterate(pack, offset, Math.min(aheadPerFound * found, aheadMax))) {
      const chunk: NearChunk = {
        key: row.id.toString('latin1'),
        pack,
        offset: row.offset,
        length: row.length,
        next: null,
      };
      if (last === null) this.#expected = chunk;
      else last.next = chunk;
      last = chunk;
      this.#near.set(chunk.key, chunk);
      keys.push(chunk.key);
    }
    if (keys.length === 0) this.#position = null;
    else this.#windows.push(keys);
    while (this.#near.size > nearMax) {
      for (const key of this.#windows.shift() ?? []) this.#near.delete(key);
    }
  }
}
