import type Database from 'better-sqlite3';
import type { BigIntStats } from 'node:fs';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { decodeRow, directoryKey, keyPath, kindNumber, rangeEnd } from './index-row.ts';
import type { IndexRow, RowColumns } from './index-row.ts';

/** What tells a directory whose names are as they were from one that has changed or made way for another one. */
export type DirectoryTimes = Pick<BigIntStats, 'dev' | 'ino' | 'mtimeNs' | 'ctimeNs'>;

/** A directory that a full scan met, with those rows of the index that may change without its times: files, and what is dirty. */
export type KnownDirectory = { path: RelativePath; times: DirectoryTimes | null; rows: IndexRow[] };

/**
 * What a full scan leaves: a directory that was compared, and all directories in it are noted; or that nothing is known
 * of a directory and of those below it.
 */
export type DirectoryNote =
  | { type: 'compared'; path: RelativePath; times: DirectoryTimes | null }
  | { type: 'forgotten'; path: RelativePath };

/** Without a device: without times. */
type TimesColumns = { of_dev: bigint | null; of_ino: bigint; of_mtime_ns: bigint; of_ctime_ns: bigint };
type JoinedRow = RowColumns & TimesColumns & { path: Buffer; name: Buffer | null };

const timesColumns = 'd.dev AS of_dev, d.ino AS of_ino, d.mtime_ns AS of_mtime_ns, d.ctime_ns AS of_ctime_ns';

/**
 * The directories that full scans met, so that the next one asks those that are as they were for nothing but their files.
 *
 * What a directory's times stand for:
 * 1. The directory was compared with the index, nothing was left to do in it, and it was then still for so long that
 *    every later change gives it other times. So as long as the times are the same, it has the same names.
 * 2. They are written in the transaction that commits what was found there, or later, and every record that is
 *    committed in the directory afterwards takes them away: they never stand beside another state than the one compared.
 * 3. A directory with times has a row for each directory in it that is not ignored, so that a pass over the rows misses
 *    none. Rows may be left over where a directory is gone; the next comparison of what it was in drops them.
 * @see docs/architecture.md#why-no-change-is-skipped
 */
export class DirectoryTable {
  readonly #folder: number;
  readonly #statements: ReturnType<typeof prepareStatements>;

  constructor(database: Database.Database, folder: number) {
    this.#folder = folder;
    this.#statements = prepareStatements(database);
  }

  /** Forgets everything where `scope`, which says what the scans were about, is not as it was. Durable when it returns. */
  keepWithin(scope: string | null): void {
    if (this.#statements.scope.get(this.#folder)?.directory_scope === scope) return;
    this.#statements.clear.run(this.#folder);
    this.#statements.setScope.run(scope, this.#folder);
  }

  /** What is known of the directory itself; null when nothing is. */
  get(path: RelativePath): Omit<KnownDirectory, 'rows'> | null {
    const row = this.#statements.get.get(this.#folder, directoryKey(path));
    return row === undefined ? null : { path, times: decodeTimes(row) };
  }

  /**
   * At most `limit` directories the key on, each before those below it.
   * `keyBehind` gives the key to go on with.
   */
  page(from: Buffer, limit: number): KnownDirectory[] {
    const directories: KnownDirectory[] = [];
    let path: Buffer | null = null;
    let rows: IndexRow[] = [];
    for (const row of this.#statements.page.all(this.#folder, from, limit, this.#folder)) {
      if (path === null || !row.path.equals(path)) {
        path = row.path;
        rows = [];
        directories.push({ path: keyPath(path, empty), times: decodeTimes(row), rows });
      }
      if (row.name !== null) rows.push(decodeRow(row));
    }
    return directories;
  }

  /** The next name in `directory` behind `afterName` of which there is a row, or one below it; null at the end. */
  nextChild(directory: RelativePath, afterName: string | null): string | null {
    const prefix = directory === '' ? '' : `${directory}/`;
    const from = afterName === null ? keyBehind(directory, false) : rangeEnd(prefix + afterName);
    const row = this.#statements.next.get(this.#folder, from, rangeEnd(directory));
    return row === undefined
      ? null
      : (keyPath(row.path, empty).slice(prefix.length).split('/', 1)[0] ?? null);
  }

  /** Writes the notes in their order; part of the caller's transaction. */
  take(notes: readonly DirectoryNote[]): void {
    for (const note of notes) {
      const key = directoryKey(note.path);
      if (note.type === 'forgotten') {
        this.#statements.forget.run(this.#folder, key, rangeEnd(note.path));
      } else {
        const { times } = note;
        this.#statements.put.run(
          this.#folder,
          key,
          times?.dev ?? null,
          times?.ino ?? null,
          times?.mtimeNs ?? null,
          times?.ctimeNs ?? null,
        );
      }
    }
  }

  /** Takes the times from the directory of that key; part of the caller's transaction. */
  disturb(key: Buffer): void {
    this.#statements.disturb.run(this.#folder, key);
  }
}

const empty = Buffer.alloc(0);

/** The first key behind the directory, or behind all that are below it as well. */
export function keyBehind(directory: RelativePath, andBelow: boolean): Buffer {
  return andBelow ? rangeEnd(directory) : Buffer.concat([directoryKey(directory), Buffer.alloc(1)]);
}

function decodeTimes(row: TimesColumns): DirectoryTimes | null {
  if (row.of_dev === null) return null;
  return { dev: row.of_dev, ino: row.of_ino, mtimeNs: row.of_mtime_ns, ctimeNs: row.of_ctime_ns };
}

function prepareStatements(database: Database.Database) {
  type Column = bigint | null;
  return {
    scope: database.prepare<[number], { directory_scope: string | null }>(
      'SELECT directory_scope FROM folders WHERE id = ?',
    ),
    setScope: database.prepare<[string | null, number]>(
      'UPDATE folders SET directory_scope = ? WHERE id = ?',
    ),
    clear: database.prepare<[number]>('DELETE FROM directories WHERE folder = ?'),
    get: database
      .prepare<[number, Buffer], TimesColumns>(
        `SELECT ${timesColumns} FROM directories AS d WHERE folder = ? AND path = ?`,
      )
      .safeIntegers(true),
    page: database
      .prepare<[number, Buffer, number, number], JoinedRow>(
        `SELECT d.path, ${timesColumns}, r.name, r.sequence, r.kind, r.size, r.mtime_ns, r.ctime_ns, r.ino, r.mode,
         r.uid, r.gid, r.content, r.dirty
         FROM (SELECT * FROM directories WHERE folder = ? AND path >= ? ORDER BY path LIMIT ?) AS d
         LEFT JOIN records AS r ON r.folder = ? AND r.parent = d.path AND (r.kind = ${kindNumber.file} OR r.dirty = 1)
         ORDER BY d.path`,
      )
      .safeIntegers(true),
    next: database.prepare<[number, Buffer, Buffer], { path: Buffer }>(
      'SELECT path FROM directories WHERE folder = ? AND path >= ? AND path < ? ORDER BY path LIMIT 1',
    ),
    forget: database.prepare<[number, Buffer, Buffer]>(
      'DELETE FROM directories WHERE folder = ? AND path >= ? AND path < ?',
    ),
    put: database.prepare<[number, Buffer, Column, Column, Column, Column]>(
      'INSERT OR REPLACE INTO directories (folder, path, dev, ino, mtime_ns, ctime_ns) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    disturb: database.prepare<[number, Buffer]>(
      'UPDATE directories SET dev = NULL WHERE folder = ? AND path = ? AND dev IS NOT NULL',
    ),
  };
}
