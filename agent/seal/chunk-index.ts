import type { CachedStatements } from './cached-statements.ts';
import { chunkEntryBytes, chunkIdAt, chunkLengthAt, chunkOffsetAt } from './chunk-entry.ts';

type PackChunks = { pack: number; entries: Buffer };

/** Entries that are sorted at once: the number of an entry and the first 32 bits of its id fit into one number together. */
const sortedMax = 2 ** 21;

/**
 * Where chunks of sealed folders lie. Each pack's entries are kept as they were written, and are found by id once they are
 * `settle`d, of many packs at once: ids are as good as random, so adding those of one pack touches most of the table.
 */
export class ChunkIndex {
  readonly #sql: CachedStatements;

  constructor(sql: CachedStatements) {
    this.#sql = sql;
  }

  /** The chunks of a new pack (entries of chunk-entry.ts), in the order in which they lie there. */
  add(pack: number, entries: Buffer): void {
    this.#sql.run('INSERT INTO pack_chunks (pack, entries, findable) VALUES (?, ?, 0)', pack, entries);
  }

  /** How many packs have chunks that cannot be found by id yet. */
  pending(): number {
    const row = this.#sql.get<{ packs: number }>(
      'SELECT count(*) AS packs FROM pack_chunks WHERE findable = 0',
    );
    return (row as { packs: number }).packs;
  }

  /** All chunks can be found by id when this returns, one that is in several packs in the last of them. */
  settle(): void {
    this.#sql.transaction(() => {
      const packs = this.#sql.all<PackChunks>(
        'SELECT pack, entries FROM pack_chunks WHERE findable = 0 ORDER BY pack',
      );
      for (const { pack, entries } of inOrderOfIds(packs)) {
        this.#sql.run(
          'INSERT OR REPLACE INTO chunks (id, pack, offset, length) VALUES (?, ?, ?, ?)',
          chunkIdAt(entries, 0),
          pack,
          chunkOffsetAt(entries, 0),
          chunkLengthAt(entries, 0),
        );
      }
      this.#sql.run('UPDATE pack_chunks SET findable = 1 WHERE findable = 0');
    });
  }

  /** Forgets the chunks of packs that a query of `objects` gives, and takes time for these alone. */
  drop(packsQuery: string, ...parameters: unknown[]): void {
    const packs = this.#sql.all<PackChunks>(
      `SELECT pack, entries FROM pack_chunks WHERE pack IN (${packsQuery})`,
      ...parameters,
    );
    for (const { pack, entries } of packs) {
      for (let at = 0; at < entries.length; at += chunkEntryBytes)
        this.#sql.run('DELETE FROM chunks WHERE id = ? AND pack = ?', chunkIdAt(entries, at), pack);
      this.#sql.run('DELETE FROM pack_chunks WHERE pack = ?', pack);
    }
  }
}

/** Single entries, so that neighbours in the table are written one after the other. Equal ids stay in their order. */
function* inOrderOfIds(packs: readonly PackChunks[]): Generator<PackChunks, void, void> {
  const places: { pack: number; entries: Buffer; first: number }[] = [];
  let count = 0;
  for (const { pack, entries } of packs) {
    places.push({ pack, entries, first: count });
    count += entries.length / chunkEntryBytes;
    if (count > sortedMax) throw new RangeError(`${count} chunks at once`);
  }
  const order = new Float64Array(count);
  for (const { entries, first } of places) {
    for (let at = 0, n = first; at < entries.length; at += chunkEntryBytes, n += 1)
      order[n] = entries.readUInt32BE(at) * sortedMax + n;
  }
  order.sort();
  const packOf = new Uint32Array(count);
  for (const [n, { entries, first }] of places.entries())
    packOf.fill(n, first, first + entries.length / chunkEntryBytes);
  for (const value of order) {
    const n = value % sortedMax;
    const { pack, entries, first } = places[packOf[n] as number] as (typeof places)[number];
    const at = (n - first) * chunkEntryBytes;
    yield { pack, entries: entries.subarray(at, at + chunkEntryBytes) };
  }
}
