import type Database from 'better-sqlite3';
import { openSchemaDatabase, type DatabaseSchema } from '../../shared/io/schema-database.ts';

/** `directories` belongs to `DirectoryTable`; its path is a key as in `records.parent`. */
const directoryTables = `
  CREATE TABLE directories (
    folder INTEGER NOT NULL REFERENCES folders(id),
    path BLOB NOT NULL,
    dev INTEGER,
    ino INTEGER,
    mtime_ns INTEGER,
    ctime_ns INTEGER,
    PRIMARY KEY (folder, path)
  ) WITHOUT ROWID;
  ALTER TABLE folders ADD COLUMN directory_scope TEXT;
`;

/**
 * `records` holds live paths only, `tombstones` the deletions announced in the current indexId; both are read together
 * in the order of their sequences. A path is kept as its directory and its name, as bytes, so that one range of the
 * primary key is one directory. Rows are tight: an ordinary file costs about 350 bytes with both trees.
 */
const schema: DatabaseSchema = {
  version: 2,
  upgrades: new Map([[1, directoryTables]]),
  sql: `
  CREATE TABLE folders (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    index_id BLOB NOT NULL,
    next_sequence INTEGER NOT NULL,
    token BLOB NOT NULL,
    complete_through INTEGER,
    baseline TEXT,
    accept_empty INTEGER NOT NULL DEFAULT 0,
    files INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    last_scan_at INTEGER
  );
  CREATE TABLE records (
    folder INTEGER NOT NULL REFERENCES folders(id),
    parent BLOB NOT NULL,
    name BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    replaces INTEGER,
    kind INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    ino INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    content BLOB,
    dirty INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (folder, parent, name)
  ) WITHOUT ROWID;
  CREATE UNIQUE INDEX records_by_sequence ON records (folder, sequence);
  CREATE INDEX records_dirty ON records (folder) WHERE dirty = 1;
  CREATE TABLE tombstones (
    folder INTEGER NOT NULL REFERENCES folders(id),
    path BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    replaces INTEGER,
    PRIMARY KEY (folder, path)
  ) WITHOUT ROWID;
  CREATE UNIQUE INDEX tombstones_by_sequence ON tombstones (folder, sequence);
  CREATE TABLE checkpoints (
    folder INTEGER NOT NULL REFERENCES folders(id),
    sequence INTEGER NOT NULL,
    token BLOB NOT NULL,
    PRIMARY KEY (folder, sequence)
  ) WITHOUT ROWID;
  CREATE TABLE acknowledgements (
    folder INTEGER NOT NULL REFERENCES folders(id),
    receiver TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (folder, receiver)
  ) WITHOUT ROWID;
  CREATE TABLE chunk_lists (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    uses INTEGER NOT NULL,
    chunks BLOB NOT NULL
  );
  CREATE INDEX chunk_lists_unused ON chunk_lists (id) WHERE uses <= 0;
${directoryTables}`,
};

/** Rows are read and written directory by directory, so that more pages in memory save no reads. */
const writerCacheBytesMax = 4 * 1024 * 1024;

/**
 * Opens the agent's index for its only writer, making it where there is none.
 * @throws CodedError DATABASE_CORRUPT when the file is not a usable index; the caller sets it aside and starts a new one.
 */
export function openIndexDatabase(file: string): Database.Database {
  return openSchemaDatabase(file, schema, { cacheBytesMax: writerCacheBytesMax });
}
