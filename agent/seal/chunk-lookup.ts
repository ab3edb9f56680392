import type Database from 'better-sqlite3';

export type ChunkLocation = { pack: number; offset: number; length: number };

const packsKeptMax = 64;

/**
 * Finds chunks that were sealed before. A pack keeps the order of the stream, so after one chunk of a pack the next
 * ones are probably its neighbours: all of a pack's chunks are read at once and kept for a while, and an hour's dump
 * asks the database about once per pack and per new chunk.
 */
export class ChunkLookup {
  readonly #one: Database.Statement<[Buffer], ChunkLocation>;
  readonly #whole: Database.Statement<[number], ChunkLocation & { id: Buffer }>;
  readonly #isUsable: (pack: number) => boolean;
  readonly #near = new Map<string, ChunkLocation>();
  /** Keys in `#near` by pack, the longest kept first. */
  readonly #packs = new Map<number, string[]>();

  /** `isUsable`: only chunks of such packs are kept, because those of others may move. */
  constructor(database: Database.Database, isUsable: (pack: number) => boolean) {
    this.#isUsable = isUsable;
    this.#one = database.prepare('SELECT pack, offset, length FROM chunks WHERE id = ?');
    this.#whole = database.prepare('SELECT id, pack, offset, length FROM chunks WHERE pack = ?');
  }

  /** `key`: the id as latin1 text. */
  find(id: Buffer, key: string): ChunkLocation | null {
    const near = this.#near.get(key);
    if (near !== undefined) return near;
    const found = this.#one.get(id);
    if (found === undefined) return null;
    if (this.#isUsable(found.pack) && !this.#packs.has(found.pack)) this.#load(found.pack);
    return found;
  }

  #load(pack: number): void {
    const keys: string[] = [];
    for (const { id, offset, length } of this.#whole.iterate(pack)) {
      const key = id.toString('latin1');
      this.#near.set(key, { pack, offset, length });
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
