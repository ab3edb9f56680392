import type Database from 'better-sqlite3';

export type ChunkLocation = { pack: number; offset: number; length: number };

const packsKeptMax = 64;

/** A chunk of a pack whose chunks are all held; `next`: the one behind it in the pack. */
type NearChunk = ChunkLocation & { key: string; next: NearChunk | null };

/**
 * Finds chunks that were sealed before. A pack keeps the order of the stream, so after one chunk of a pack the next
 * one is probably its neighbour, which is compared first; all of a pack's chunks are read at once and kept for a while,
 * and an hour's dump asks the database about once per pack and per new chunk.
 */
export class ChunkLookup {
  readonly #one: Database.Statement<[Buffer], ChunkLocation>;
  readonly #whole: Database.Statement<[number], ChunkLocation & { id: Buffer }>;
  readonly #isUsable: (pack: number) => boolean;
  readonly #near = new Map<string, NearChunk>();
  /** Keys in `#near` by pack, the longest kept first. */
  readonly #packs = new Map<number, string[]>();
  #expected: NearChunk | null = null;

  /** `isUsable`: only chunks of such packs are kept, because those of others may move. */
  constructor(database: Database.Database, isUsable: (pack: number) => boolean) {
    this.#isUsable = isUsable;
    this.#one = database.prepare('SELECT pack, offset, length FROM chunks WHERE id = ?');
    this.#whole = database.prepare(
      'SELECT id, pack, offset, length FROM chunks WHERE pack = ? ORDER BY offset',
    );
  }

  /** Where the chunk behind the one that was found last is, if it is this one: in a usable pack. */
  findNext(key: string): ChunkLocation | null {
    const expected = this.#expected;
    if (expected === null || expected.key !== key) return null;
    this.#expected = expected.next;
    return expected;
  }

  /** `key`: the id as latin1 text. */
  find(key: string): ChunkLocation | null {
    const near = this.#near.get(key);
    if (near !== undefined) return this.#found(near);
    const found = this.#one.get(Buffer.from(key, 'latin1'));
    if (found === undefined) return null;
    if (!this.#isUsable(found.pack)) return found;
    if (!this.#packs.has(found.pack)) this.#load(found.pack);
    const loaded = this.#near.get(key);
    return loaded === undefined ? found : this.#found(loaded);
  }

  #found(near: NearChunk): ChunkLocation {
    this.#expected = near.next;
    return near;
  }

  #load(pack: number): void {
    const keys: string[] = [];
    let last: NearChunk | null = null;
    for (const { id, offset, length } of this.#whole.iterate(pack)) {
      const key = id.toString('latin1');
      const chunk: NearChunk = { key, pack, offset, length, next: null };
      if (last !== null) last.next = chunk;
      last = chunk;
      this.#near.set(key, chunk);
      keys.push(key);
    }
    this.#packs.set(pack, keys);
    for (const [oldest, oldKeys] of this.#packs) {
      if (this.#packs.size <= packsKeptMax) break;
      for (const key of oldKeys) this.#near.delete(key);
      this.#packs.delete(oldest);
    }
  }
}
