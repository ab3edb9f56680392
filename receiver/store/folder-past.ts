import type Database from 'better-sqlite3';
import type { FileAmount, GoneContents } from '../guard/mass-change.ts';
import { databaseError } from './index-errors.ts';

/** Versions of files with content that were alive at that moment and are not any more. */
const ended = `FROM versions AS v INDEXED BY versions_by_age
  WHERE replaced_at > @atMs AND received_at <= @atMs AND kind = 0 AND size > 0`;

export const pastQueries = {
  gone: `
    SELECT EXISTS (SELECT 1 FROM live WHERE path = v.path AND kind = 0) AS stands, count(*) AS files, sum(size) AS bytes
    ${ended} AND NOT EXISTS (SELECT 1 FROM live WHERE hash = v.hash) GROUP BY stands`,
  held: `
    SELECT count(*) AS files, coalesce(sum(size), 0) AS bytes FROM (
      SELECT size FROM live WHERE kind = 0 AND size > 0 AND received_at <= @atMs UNION ALL SELECT size ${ended})`,
} as const;

/** What a mirror folder had at moments of its own clock (ms). Only files with content count. */
export class FolderPast {
  readonly #database: Database.Database;

  constructor(database: Database.Database) {
    this.#database = database;
  }

  /**
   * Files that were there at that moment and whose content is at no path now: what was moved or copied is not gone, and a
   * path counts once, however often it was rewritten since. Costs as much as there was replaced and deleted since then.
   */
  goneSince(atMs: number): GoneContents {
    const gone: GoneContents = { deleted: { files: 0, bytes: 0 }, rewritten: { files: 0, bytes: 0 } };
    const rows = this.#all(pastQueries.gone, atMs) as (FileAmount & { stands: number })[];
    for (const { stands, files, bytes } of rows)
      gone[stands === 1 ? 'rewritten' : 'deleted'] = { files, bytes };
    return gone;
  }

  /** All files that were there at that moment; reads every row of the folder. */
  heldAt(atMs: number): FileAmount {
    const [held] = this.#all(pastQueries.held, atMs) as FileAmount[];
    return held ?? { files: 0, bytes: 0 };
  }

  #all(query: string, atMs: number): unknown[] {
    try {
      return this.#database.prepare(query).all({ atMs });
    } catch (error) {
      throw databaseError(error);
    }
  }
}
