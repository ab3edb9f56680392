import type Database from 'better-sqlite3';
import { openSchemaDatabase, type DatabaseSchema } from '../../shared/io/schema-database.ts';

/**
 * `objects` are what a sealed folder gave out and may still be needed: packs, root messages, version records and their
 * signatures. `used_bytes` counts the plaintext of a pack that the latest version refers to; `named_sequence` is
 * that of the first version record which names the object (its own for a record). `pack_chunks` has the entries
 * (chunk-entry.ts) of each pack of the current epoch, `chunks` the same by id where they are `findable`; ids of different
 * epochs never meet, because each has a secret of its own.
 * `lacking` names packs that a receiver does not hold although its acknowledged sequence is behind them.
 */
const schema: DatabaseSchema = {
  version: 5,
  sql: `
  CREATE TABLE folders (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    index_id BLOB NOT NULL,
    sequence INTEGER NOT NULL DEFAULT 0,
    token BLOB NOT NULL,
    chunking TEXT,
    known_since INTEGER NOT NULL,
    last_started_at INTEGER,
    last_duration_ms INTEGER,
    last_fingerprint TEXT,
    failure TEXT,
    unreadable TEXT
  );
  CREATE TABLE epochs (
    id INTEGER PRIMARY KEY,
    folder INTEGER NOT NULL REFERENCES folders(id),
    name TEXT NOT NULL,
    secret BLOB NOT NULL,
    recipients TEXT NOT NULL,
    created_at INTEGER NOT NULL
  );
  CREATE TABLE objects (
    id INTEGER PRIMARY KEY,
    folder INTEGER NOT NULL REFERENCES folders(id),
    epoch INTEGER NOT NULL REFERENCES epochs(id),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    hash BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    plain_bytes INTEGER NOT NULL,
    used_bytes INTEGER NOT NULL DEFAULT 0,
    named_sequence INTEGER,
    sequence INTEGER NOT NULL,
    replaces INTEGER,
    created_at INTEGER NOT NULL,
    in_spool INTEGER NOT NULL,
    chunk_list BLOB,
    UNIQUE (folder, name)
  );
  CREATE UNIQUE INDEX objects_by_sequence ON objects (folder, sequence);
  CREATE INDEX objects_in_spool ON objects (folder, sequence) WHERE in_spool = 1;
  CREATE TABLE chunks (
    id BLOB PRIMARY KEY,
    pack INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE pack_chunks (
    pack INTEGER PRIMARY KEY,
    entries BLOB NOT NULL,
    findable INTEGER NOT NULL
  );
  CREATE INDEX pack_chunks_pending ON pack_chunks (pack) WHERE findable = 0;
  CREATE TABLE versions (
    id INTEGER PRIMARY KEY,
    folder INTEGER NOT NULL REFERENCES folders(id),
    epoch INTEGER NOT NULL REFERENCES epochs(id),
    number INTEGER NOT NULL,
    record_hash TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    plain_bytes INTEGER NOT NULL,
    new_bytes INTEGER NOT NULL,
    sealed_bytes INTEGER NOT NULL,
    manifest_packs TEXT NOT NULL
  );
  CREATE INDEX versions_by_folder ON versions (folder, id);
  CREATE TABLE checkpoints (
    folder INTEGER NOT NULL REFERENCES folders(id),
    sequence INTEGER NOT NULL,
    token BLOB NOT NULL,
    PRIMARY KEY (folder, sequence)
  ) WITHOUT ROWID;
  CREATE TABLE receivers (
    folder INTEGER NOT NULL REFERENCES folders(id),
    receiver TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    passed_over INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (folder, receiver)
  ) WITHOUT ROWID;
  CREATE TABLE lacking (
    object INTEGER NOT NULL REFERENCES objects(id) ON DELETE CASCADE,
    receiver TEXT NOT NULL,
    PRIMARY KEY (object, receiver)
  ) WITHOUT ROWID;
`,
};

/**
 * Opens what the agent knows of its sealed folders for its only writer, making it where there is none. Losing it
 * costs a new epoch: everything is sealed and sent once more.
 * @throws CodedError DATABASE_CORRUPT when the file cannot be used; the caller sets it aside and starts a new one
 */
export function openSealDatabase(file: string): Database.Database {
  return openSchemaDatabase(file, schema);
}
