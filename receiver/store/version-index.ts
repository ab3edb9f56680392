import type Database from 'better-sqlite3';
import type { VersionRecord } from '../../shared/sealing/version-record.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';
import { databaseError } from './index-errors.ts';
import { unneededPacksMax } from './lacking-packs.ts';

/** A version whose record and signature are held and were verified. Times in ms; `receivedAt` by the receiver's clock. */
export type HeldVersion = {
  number: number;
  epoch: string;
  /** SHA-256 of the record. */
  hash: Buffer;
  previous: Buffer | null;
  createdAt: number;
  receivedAt: number;
  /** How many packs it needs, and their bytes: as they are, and only of those that lack when it comes as its record tells. */
  packs: number;
  bytes: number;
  /** Key IDs of those who can read it; none: a passphrase. */
  recipients: readonly string[];
};

const schema = `
  CREATE TABLE IF NOT EXISTS sealed_versions (
    number INTEGER NOT NULL, epoch TEXT NOT NULL, hash BLOB NOT NULL, previous BLOB, created_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL, packs INTEGER NOT NULL, bytes INTEGER NOT NULL, recipients TEXT NOT NULL, PRIMARY KEY (epoch, number)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS sealed_packs (hash BLOB PRIMARY KEY, versions INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS sealed_expired (hash BLOB PRIMARY KEY);
`;

type Row = Omit<HeldVersion, 'createdAt' | 'receivedAt' | 'recipients'> & {
  created_at: number;
  received_at: number;
  /** Key IDs with spaces between them. */
  recipients: string;
};

/**
 * Which versions a sealed store holds and how many of them need a pack: a cache of the version records, in the store's
 * database and lost with it. Also which packs were removed when their lease was over: until the agent was told, it may
 * refer to them.
 */
export class VersionIndex {
  readonly #database: Database.Database;
  readonly #bytesOf: (pack: string) => number | null;
  readonly #statements: ReturnType<typeof prepareStatements>;

  /**
   * `bytesOf`: the size of a pack (hexadecimal) that is held, null for another.
   * @throws CodedError DATABASE_CORRUPT, STORE_FULL, DISK_FAILED
   */
  constructor(database: Database.Database, bytesOf: (pack: string) => number | null) {
    this.#database = database;
    this.#bytesOf = bytesOf;
    this.#statements = run(() => {
      database.exec(schema);
      return prepareStatements(database);
    });
  }

  /** One transaction, durable when it returns. A version that is there already must not be added. */
  add(added: readonly { version: Omit<HeldVersion, 'bytes'>; record: VersionRecord }[]): void {
    run(() =>
      this.#database.transaction(() => {
        for (const { version, record } of added) {
          const { number, epoch, hash, previous, createdAt, receivedAt, packs } = version;
          const bytes = record.packs.reduce((sum, [pack, told]) => sum + (this.#bytesOf(pack) ?? told), 0);
          const recipients = version.recipients.join(' ');
          this.#statements.add.run(
            number,
            epoch,
            hash,
            previous,
            createdAt,
            receivedAt,
            packs,
            bytes,
            recipients,
          );
          for (const [pack] of record.packs) this.#statements.use.run(Buffer.from(pack, 'hex'));
        }
      })(),
    );
  }

  /** One transaction, durable when it returns. `packs`: those that its record names. */
  remove(removed: readonly { version: HeldVersion; packs: readonly Buffer[] }[]): void {
    run(() =>
      this.#database.transaction(() => {
        for (const { version, packs } of removed) {
          this.#statements.remove.run(version.epoch, version.number);
          for (const hash of packs) {
            this.#statements.release.run(hash);
            this.#statements.dropUnneeded.run(hash);
          }
        }
      })(),
    );
  }

  /** Notes which packs were removed though the agent may think that they are held; durable when it returns. */
  addExpired(packs: readonly Buffer[]): void {
    run(() =>
      this.#database.transaction(() => {
        for (const hash of packs) this.#statements.addExpired.run(hash);
        this.#statements.forgetExpired.run(unneededPacksMax);
      })(),
    );
  }

  /** Those noted last, also where they have come back since. */
  expired(): Buffer[] {
    return run(() => this.#statements.expired.all() as { hash: Buffer }[]).map(({ hash }) => hash);
  }

  clear(): void {
    run(() => this.#database.exec('DELETE FROM sealed_versions; DELETE FROM sealed_packs;'));
  }

  get(number: number, epoch: string): HeldVersion | null {
    const row = run(() => this.#statements.get.get(epoch, number)) as Row | undefined;
    return row === undefined ? null : fromRow(row);
  }

  /** The one with the highest number in the epoch. */
  latest(epoch: string): HeldVersion | null {
    const row = run(() => this.#statements.latest.get(epoch)) as Row | undefined;
    return row === undefined ? null : fromRow(row);
  }

  /** In the order in which they were received. */
  list(): HeldVersion[] {
    return run(() => this.#statements.list.all() as Row[]).map(fromRow);
  }

  count(): number {
    return (run(() => this.#statements.count.get()) as { count: number }).count;
  }

  /** Whether any version needs the pack. */
  needs(hash: Buffer): boolean {
    return run(() => this.#statements.needs.get(hash)) !== undefined;
  }

  /** How many versions need the pack. */
  users(hash: Buffer): number {
    return (run(() => this.#statements.users.get(hash)) as { versions: number } | undefined)?.versions ?? 0;
  }

  /** All packs (hexadecimal) that versions need, and how many do. */
  packCounts(): [pack: string, versions: number][] {
    return run(() => this.#statements.packCounts.all() as { hash: Buffer; versions: number }[]).map(
      ({ hash, versions }) => [hash.toString('hex'), versions],
    );
  }

  /** Hashes of all packs that versions need. */
  packs(): Buffer[] {
    return run(() => this.#statements.packs.all() as { hash: Buffer }[]).map(({ hash }) => hash);
  }
}

function prepareStatements(database: Database.Database) {
  return {
    add: database.prepare(
      `INSERT INTO sealed_versions (number, epoch, hash, previous, created_at, received_at, packs, bytes, recipients)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    use: database.prepare(
      'INSERT INTO sealed_packs (hash, versions) VALUES (?, 1) ON CONFLICT (hash) DO UPDATE SET versions = versions + 1',
    ),
    remove: database.prepare('DELETE FROM sealed_versions WHERE epoch = ? AND number = ?'),
    release: database.prepare('UPDATE sealed_packs SET versions = versions - 1 WHERE hash = ?'),
    dropUnneeded: database.prepare('DELETE FROM sealed_packs WHERE hash = ? AND versions <= 0'),
    get: database.prepare('SELECT * FROM sealed_versions WHERE epoch = ? AND number = ?'),
    latest: database.prepare('SELECT * FROM sealed_versions WHERE epoch = ? ORDER BY number DESC LIMIT 1'),
    list: database.prepare('SELECT * FROM sealed_versions ORDER BY received_at, number, created_at'),
    count: database.prepare('SELECT count(*) AS count FROM sealed_versions'),
    needs: database.prepare('SELECT 1 FROM sealed_packs WHERE hash = ?'),
    users: database.prepare('SELECT versions FROM sealed_packs WHERE hash = ?'),
    packCounts: database.prepare('SELECT hash, versions FROM sealed_packs'),
    packs: database.prepare('SELECT hash FROM sealed_packs ORDER BY hash'),
    addExpired: database.prepare('INSERT OR IGNORE INTO sealed_expired (hash) VALUES (?)'),
    forgetExpired: database.prepare(
      'DELETE FROM sealed_expired WHERE rowid <= (SELECT max(rowid) FROM sealed_expired) - ?',
    ),
    expired: database.prepare('SELECT hash FROM sealed_expired ORDER BY rowid'),
  };
}

function fromRow({ created_at: createdAt, received_at: receivedAt, recipients, ...rest }: Row): HeldVersion {
  return { ...rest, createdAt, receivedAt, recipients: recipients === '' ? [] : recipients.split(' ') };
}

/** Names a version of the folder; sorts by epoch and number. */
export function versionKey({ number, epoch }: { number: number; epoch: string }): string {
  return `${epoch}-${String(number).padStart(10, '0')}`;
}

/** Whether the file is the database of a sealed store; false where it cannot be read. */
export function isSealedDatabase(file: string): boolean {
  try {
    const database = openDatabase(file, { readonly: true });
    try {
      const wanted = `SELECT 1 FROM sqlite_master WHERE name = 'sealed_versions'`;
      return database.prepare(wanted).get() !== undefined;
    } finally {
      database.close();
    }
  } catch {
    return false;
  }
}

function run<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw databaseError(error);
  }
}
