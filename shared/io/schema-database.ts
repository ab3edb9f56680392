import type Database from 'better-sqlite3';
import { CodedError, systemErrorCode } from '../errors/coded-error.ts';
import { openDatabase } from './sqlite.ts';

/**
 * The tables of a database, and their number, which grows with every change of them. `upgrades`: by the number of older
 * tables, what makes those of the next number of them; tables that none leads from are damage.
 */
export type DatabaseSchema = { version: number; sql: string; upgrades?: ReadonlyMap<number, string> };

/**
 * Opens a database for its only writer, with its tables, making it where there is none.
 * @throws CodedError DATABASE_CORRUPT when the file is damaged or has other tables; the caller sets it aside
 */
export function openSchemaDatabase(
  file: string,
  schema: DatabaseSchema,
  options: { cacheBytesMax?: number } = {},
): Database.Database {
  let database: Database.Database | null = null;
  try {
    database = openDatabase(file, options);
    const found = Number(database.pragma('user_version', { simple: true }));
    if (found === 0) createSchema(database, schema);
    else if (found !== schema.version) upgradeSchema(database, schema, found);
    return database;
  } catch (error) {
    database?.close();
    if (!isDamage(error)) throw error;
    throw new CodedError('DATABASE_CORRUPT', `${file} cannot be used: ${String(error)}`, { cause: error });
  }
}

/** True for the errors by which SQLite says that the file itself is damaged. */
export function isDamage(error: unknown): boolean {
  const code = systemErrorCode(error) ?? '';
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB';
}

function createSchema(database: Database.Database, { version, sql }: DatabaseSchema): void {
  database.transaction(() => {
    database.exec(sql);
    database.pragma(`user_version = ${version}`);
  })();
}

/** All steps or none. @throws CodedError DATABASE_CORRUPT where none leads to the tables of today */
function upgradeSchema(
  database: Database.Database,
  { version, upgrades }: DatabaseSchema,
  found: number,
): void {
  database.transaction(() => {
    for (let at = found; at !== version; at += 1) {
      const step = upgrades?.get(at);
      if (step === undefined) throw otherVersion(database.name, found, version);
      database.exec(step);
    }
    database.pragma(`user_version = ${version}`);
  })();
}

function otherVersion(file: string, found: number, expected: number): CodedError {
  return new CodedError('DATABASE_CORRUPT', `${file} has tables of version ${found}, not ${expected}`);
}
