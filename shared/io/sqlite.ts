import Database from 'better-sqlite3';
import { makePrivateFile, takeFromOthers } from './private-file.ts';

/**
 * Opens (creating it where needed) a WAL database with `synchronous=FULL`, so that a commit survives power loss;
 * a reopened WAL database would otherwise fall back to NORMAL. Only the owner can read it: it may hold secrets and names of
 * files. SQLite gives the files beside it the same mode. `cacheBytesMax`: pages kept in memory; 16 MB where it is left out.
 * @see https://www.sqlite.org/pragma.html#pragma_synchronous
 */
export function openDatabase(
  path: string,
  options: { readonly?: boolean; cacheBytesMax?: number } = {},
): Database.Database {
  if (options.readonly !== true) {
    makePrivateFile(path);
    for (const suffix of ['-wal', '-shm']) takeFromOthers(`${path}${suffix}`);
  }
  const database = new Database(path, { readonly: options.readonly ?? false });
  database.pragma('busy_timeout = 5000');
  database.pragma('foreign_keys = ON');
  // Negative: KiB.
  if (options.cacheBytesMax !== undefined)
    database.pragma(`cache_size = -${Math.ceil(options.cacheBytesMax / 1024)}`);
  if (options.readonly !== true) {
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
  }
  return database;
}
