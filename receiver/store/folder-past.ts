import type Database from 'better-sqlite3';
import type { FileAmount, GoneContents } from '../guard/mass-change.ts';
import { databaseError } from './index-errors.ts';
import { yieldToOthers } from './journal.ts';

/** So many rows are read before others get a turn: a few hundredths of a second. */
const rowsAtOnce = 5000;

/** Of the versions of a page those of files with content that were alive at that moment and are not any more. */
const ended = `FROM versions AS v INDEXED BY versions_by_age
  WHERE replaced_at >= @fromAt AND replaced_at <= @toAt
    AND (replaced_at, id) > (@fromAt, @fromId) AND (replaced_at, id) <= (@toAt, @toId)
    AND received_at <= @atMs AND kind = 0 AND size > 0`;

export const pastQueries = {
  pageEnd: `
    SELECT replaced_at AS at, id FROM versions INDEXED BY versions_by_age
    WHERE replaced_at >= @at AND (replaced_at, id) > (@at, @id) ORDER BY replaced_at, id LIMIT 1 OFFSET @skipped`,
  gone: `
    SELECT EXISTS (SELECT 1 FROM live WHERE path = v.path AND kind = 0) AS stands, count(*) AS files, sum(size) AS bytes
    ${ended} AND NOT EXISTS (SELECT 1 FROM live WHERE hash = v.hash) GROUP BY stands`,
  ended: `SELECT count(*) AS files, coalesce(sum(size), 0) AS bytes ${ended}`,
  live: `
    SELECT count(*) AS rows, max(path) AS last, count(*) FILTER (WHERE counts) AS files,
      coalesce(sum(size) FILTER (WHERE counts), 0) AS bytes
    FROM (
      SELECT path, size, kind = 0 AND size > 0 AND received_at <= @atMs AS counts FROM live WHERE path > @after
      ORDER BY path LIMIT @limit
    )`,
} as const;

/** Where a version stands among all, by when it was replaced or deleted. */
type AgeKey = { at: number; id: number };
type LivePage = FileAmount & { rows: number; last: Buffer | null };

/**
 * What a mirror folder had at moments of its own clock (ms). Only files with content count. Others get a turn while much is
 * read: what changes meanwhile may count or not.
 */
export class FolderPast {
  readonly #database: Database.Database;

  constructor(database: Database.Database) {
    this.#database = database;
  }

  /**
   * Files that were there at that moment and whose content is at no path now: what was moved or copied is not gone, and a
   * path counts once, however often it was rewritten since. Costs as much as there was replaced and deleted since then.
   */
  async goneSince(atMs: number): Promise<GoneContents> {
    const gone = { deleted: { files: 0, bytes: 0 }, rewritten: { files: 0, bytes: 0 } };
    for await (const page of this.#endedSince(atMs)) {
      const rows = this.#all(pastQueries.gone, page) as (FileAmount & { stands: number })[];
      for (const row of rows) add(row.stands === 1 ? gone.rewritten : gone.deleted, row);
    }
    return gone;
  }

  /** All files that were there at that moment; reads every row of the folder. */
  async heldAt(atMs: number): Promise<FileAmount> {
    const held = { files: 0, bytes: 0 };
    for (let after: Buffer | number = -1; ;) {
      const [page] = this.#all(pastQueries.live, { atMs, after, limit: rowsAtOnce }) as LivePage[];
      if (page === undefined || page.last === null) break;
      add(held, page);
      if (page.rows < rowsAtOnce) break;
      after = page.last;
      await yieldToOthers();
    }
    for await (const page of this.#endedSince(atMs)) {
      const [amount] = this.#all(pastQueries.ended, page) as FileAmount[];
      if (amount !== undefined) add(held, amount);
    }
    return held;
  }

  /** The bounds of pages of the versions that ended later than that moment. */
  async *#endedSince(atMs: number): AsyncGenerator<Record<string, number>> {
    for (let from: AgeKey = { at: atMs, id: Number.MAX_SAFE_INTEGER }; ;) {
      const [end] = this.#all(pastQueries.pageEnd, { ...from, skipped: rowsAtOnce - 1 }) as AgeKey[];
      const to = end ?? { at: Number.MAX_SAFE_INTEGER, id: Number.MAX_SAFE_INTEGER };
      yield { atMs, fromAt: from.at, fromId: from.id, toAt: to.at, toId: to.id };
      if (end === undefined) return;
      from = end;
      await yieldToOthers();
    }
  }

  #all(query: string, values: object): unknown[] {
    try {
      return this.#database.prepare(query).all(values);
    } catch (error) {
      throw databaseError(error);
    }
  }
}

function add(sum: FileAmount, { files, bytes }: FileAmount): void {
  sum.files += files;
  sum.bytes += bytes;
}
