import type Database from 'better-sqlite3';
import { encodeRelativePath, type RelativePath } from '../../shared/records/relative-path.ts';
import { corrupt, databaseError } from './index-errors.ts';
import { DamageIndex, isWhole } from './damage-index.ts';
import { formatIndexMeta, parseIndexMeta, type IndexMeta, type JournalMark } from './index-meta.ts';
import { IntervalIndex, intervalQueries, intervalSchema, type MomentInterval } from './interval-index.ts';
import {
  byPath,
  columns,
  pathAfter,
  readLive,
  readVersion,
  type LiveRow,
  type RawRow,
  type VersionRow,
} from './index-rows.ts';
import type { BeginEntry, ChangeEntry, LiveState, Replaced } from './journal-entry.ts';
import { SweepMemory } from './sweep-memory.ts';

export type StoreUsage = { files: number; bytes: number; versions: number; versionBytes: number };

const schemaVersion = 4;
const stateColumns =
  'kind, size, mtime_ns, mode, uid, gid, hash, target, index_id, sequence, replaces, received_at, begun';
const stateTypes = `kind INTEGER NOT NULL, size INTEGER, mtime_ns INTEGER, mode INTEGER, uid INTEGER, gid INTEGER, hash BLOB,
  target BLOB, index_id BLOB NOT NULL, sequence INTEGER NOT NULL, replaces INTEGER, received_at INTEGER NOT NULL,
  begun INTEGER NOT NULL`;
const schema = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE live (path BLOB PRIMARY KEY, named_in BLOB NOT NULL, ${stateTypes}) WITHOUT ROWID;
  CREATE INDEX live_by_hash ON live (hash) WHERE hash IS NOT NULL;
  CREATE TABLE versions (id INTEGER PRIMARY KEY, path BLOB NOT NULL, name BLOB, replaced_at INTEGER NOT NULL,
    ended INTEGER NOT NULL, ${stateTypes});
  CREATE INDEX versions_by_path ON versions (path, replaced_at); CREATE INDEX versions_by_begin ON versions (path, begun);
  CREATE INDEX versions_by_end ON versions (ended); CREATE INDEX versions_by_age ON versions (replaced_at);
  CREATE INDEX versions_by_hash ON versions (hash) WHERE hash IS NOT NULL; CREATE INDEX versions_by_name ON versions (name) WHERE name IS NOT NULL;
  ${intervalSchema}
  PRAGMA user_version = ${schemaVersion};
`;

/**
 * The SQLite side of a mirror store: a cache of what its journal says, written only through `apply` with entries of
 * the journal, so that a rebuild gives the same rows.
 */
export class MirrorIndex {
  readonly intervals: IntervalIndex;
  readonly sweep: SweepMemory;
  readonly damage: DamageIndex;
  readonly #database: Database.Database;
  readonly #statements: ReturnType<typeof prepareStatements>;
  #usage: StoreUsage;
  #liveRows: number;

  /** Takes ownership of the database; makes the tables where there are none. @throws CodedError DATABASE_CORRUPT */
  constructor(database: Database.Database) {
    this.#database = database;
    try {
      const found = Number(database.pragma('user_version', { simple: true }));
      if (found === 0) database.exec(schema);
      else if (found !== schemaVersion) throw corrupt(`its schema version is ${found}`, { isOutdated: true });
      if (database.pragma('quick_check(1)', { simple: true }) !== 'ok')
        throw corrupt('it fails the quick check');
      this.damage = new DamageIndex(database);
      this.#statements = prepareStatements(database);
      this.intervals = new IntervalIndex(database);
      this.sweep = new SweepMemory(database);
      this.#usage = this.#statements.usage.get() as StoreUsage;
      this.#liveRows = this.#countLiveRows();
    } catch (error) {
      database.close();
      throw databaseError(error);
    }
  }

  /** For tables of a store that are derived from the same journal; they are lost with this index. */
  get database(): Database.Database {
    return this.#database;
  }

  close(): void {
    this.#database.close();
  }

  usage(): StoreUsage {
    return { ...this.#usage };
  }

  /** Live rows of every kind, versions, and gaps. */
  get rows(): number {
    return this.#liveRows + this.#usage.versions + this.intervals.gaps;
  }

  /** Null in an index that nothing was applied to. */
  meta(): IndexMeta | null {
    const text = this.#run(() => this.#statements.meta.get()) as { value: string } | undefined;
    return text === undefined ? null : parseIndexMeta(text.value);
  }

  live(path: RelativePath): LiveRow | null {
    const row = this.#run(() => this.#statements.live.get(encodeRelativePath(path)));
    return row === undefined ? null : readLive(row as RawRow);
  }

  /** What is alive below the path, the path itself not included. */
  liveBelow(path: RelativePath): LiveRow[] {
    const [from, to] = [Buffer.from(`${path}/`, 'latin1'), Buffer.from(`${path}0`, 'latin1')];
    return this.#run(() => this.#statements.liveBelow.all(from, to) as RawRow[]).map(readLive);
  }

  /** Live rows after the path in byte order that the index `indexId` has not named. */
  unnamedAfter(path: RelativePath | null, indexId: Buffer, limit: number): LiveRow[] {
    return this.#run(() => this.#statements.unnamed.all(pathAfter(path), indexId, limit) as RawRow[]).map(
      readLive,
    );
  }

  liveAfter(path: RelativePath | null, limit: number): LiveRow[] {
    return this.#run(() => this.#statements.liveAfter.all(pathAfter(path), limit) as RawRow[]).map(readLive);
  }

  /** What was alive at that moment, after the path in byte order: live rows and versions, each path once. */
  aliveAt(at: number, path: RelativePath | null, limit: number): (LiveRow | VersionRow)[] {
    const after = pathAfter(path);
    return this.#run(() => {
      const live = (this.#statements.liveAt.all(after, at, limit) as RawRow[]).map(readLive);
      const versions = (this.#statements.versionsAt.all(after, at, at, limit) as RawRow[]).map(readVersion);
      return [...live, ...versions].sort(byPath).slice(0, limit);
    });
  }

  /** The last content of each path that was alive at `from` or came up to `to`, after the path in byte order. */
  aliveBetween(moments: MomentInterval, path: RelativePath | null, limit: number): (LiveRow | VersionRow)[] {
    const page = { ...moments, after: pathAfter(path), limit };
    return this.#run(() => {
      const rows = new Map<RelativePath, LiveRow | VersionRow>();
      for (const row of (this.#statements.versionsBetween.all(page) as RawRow[]).map(readVersion))
        rows.set(row.path, row);
      for (const row of (this.#statements.liveUntil.all(page) as RawRow[]).map(readLive))
        rows.set(row.path, row);
      return [...rows.values()].sort(byPath).slice(0, limit);
    });
  }

  /** Newest first. */
  versionsOf(path: RelativePath): VersionRow[] {
    return this.#run(() => this.#statements.versionsOf.all(encodeRelativePath(path)) as RawRow[]).map(
      readVersion,
    );
  }

  /** All versions of the next `limit` paths after the path that have any, by path. */
  versionsAfter(path: RelativePath | null, limit: number): VersionRow[] {
    return this.#run(
      () => this.#statements.versionsAfter.all(pathAfter(path), pathAfter(path), limit) as RawRow[],
    ).map(readVersion);
  }

  isVersionName(name: string): boolean {
    return this.#run(() => this.#statements.versionName.get(Buffer.from(name, 'latin1'))) !== undefined;
  }

  /**
   * Where content of that hash is said to be, and is not known to be damaged: paths in `current/`, names in `versions/`, a few
   * of each; and its size, null when it is nowhere.
   */
  holders(hash: Buffer): { paths: RelativePath[]; names: string[]; size: number | null } {
    return this.#run(() => {
      const live = this.#statements.liveHolders.all(hash) as { path: Buffer; size: number }[];
      const versions = this.#statements.versionHolders.all(hash) as { name: Buffer; size: number }[];
      return {
        paths: live.map(({ path }) => path.toString('latin1') as RelativePath),
        names: versions.map(({ name }) => name.toString('latin1')),
        size: live[0]?.size ?? versions[0]?.size ?? null,
      };
    });
  }

  /** One transaction, durable when it returns: the batch's changes but for the `undone` paths, and the mark. */
  apply(
    begin: BeginEntry,
    changes: Iterable<ChangeEntry>,
    undone: readonly RelativePath[],
    mark: JournalMark,
  ): void {
    const skipped = new Set(undone);
    try {
      this.#run(() => this.#transaction(begin, changes, skipped, mark));
    } catch (error) {
      this.#usage = this.#statements.usage.get() as StoreUsage;
      this.#liveRows = this.#countLiveRows();
      this.intervals.recount();
      this.damage.recount();
      throw error;
    }
  }

  /** Notes that the index holds what the journal holds up to another mark: the journal was rewritten. */
  moveMark(mark: JournalMark): void {
    const meta = this.meta();
    if (meta !== null) this.#run(() => this.#writeMeta({ ...meta, mark }));
  }

  #transaction(
    begin: BeginEntry,
    changes: Iterable<ChangeEntry>,
    skipped: ReadonlySet<RelativePath>,
    mark: JournalMark,
  ): void {
    this.#database.transaction(() => {
      const before = this.meta();
      const moves = begin.position !== null && skipped.size === 0;
      const effective = moves ? begin : { ...begin, position: null };
      this.intervals.begin(effective);
      if (begin.forgets) this.sweep.forget();
      for (const change of changes) {
        if (!('path' in change) || !skipped.has(change.path)) this.#change(change, begin.at);
      }
      const isProved = this.intervals.end(effective);
      const position = begin.forgets ? null : moves ? begin.position : (before?.position ?? null);
      const wasComplete = position !== null && before?.completeIndexId?.equals(position.indexId) === true;
      const completeIndexId = (moves && begin.completes) || wasComplete ? (position?.indexId ?? null) : null;
      this.#writeMeta({
        mark,
        position,
        completeIndexId,
        lastBatch: begin.batch,
        // of a batch whose first line is damaged neither is known for sure; an id that is given twice would take a version's place
        lastBatchAt: Math.max(begin.at, before?.lastBatchAt ?? 0),
        nextVersionId: Math.max(begin.nextVersionId, before?.nextVersionId ?? 1),
        doubtful: begin.doubtful && !isProved,
      });
    })();
  }

  #change(change: ChangeEntry, at: number): void {
    if (!('path' in change)) {
      this.intervals.learn(change);
      return;
    }
    const path = encodeRelativePath(change.path);
    this.damage.follow(path, change);
    switch (change.type) {
      case 'set':
        this.#forgetLive(path);
        if (change.replaced !== null) this.#addVersion(path, change.replaced, at);
        this.#statements.setLive.run(path, change.namedIn, ...columns(change.holding));
        this.#countState(change.holding.state);
        return;
      case 'remove':
        this.#forgetLive(path);
        this.#statements.removeLive.run(path);
        this.#addVersion(path, change.replaced, at);
        return;
      case 'missing':
        this.#statements.name.run(change.namedIn, path);
        return;
      case 'version':
        this.#addVersion(path, change.replaced, change.replacedAt);
        return;
      case 'expire': {
        const row = this.#statements.versionSize.get(change.id) as { size: number | null } | undefined;
        if (row === undefined) return;
        this.#usage.versions -= 1;
        this.#usage.versionBytes -= row.size ?? 0;
        this.#statements.removeVersion.run(change.id);
        return;
      }
      case 'gap':
        this.intervals.setGap(change);
        return;
      case 'damage':
        this.damage.set(change);
    }
  }

  #addVersion(path: Buffer, { id, name, holding, ended }: Replaced, replacedAt: number): void {
    const nameBytes = name === null ? null : Buffer.from(name, 'latin1');
    this.#statements.addVersion.run(id, path, nameBytes, replacedAt, ended, ...columns(holding));
    this.#usage.versions += 1;
    this.#usage.versionBytes += holding.state.kind === 'file' ? holding.state.size : 0;
  }

  #forgetLive(path: Buffer): void {
    const row = this.#statements.liveSize.get(path) as { size: number | null; kind: number } | undefined;
    if (row === undefined) return;
    this.#liveRows -= 1;
    if (row.kind !== 0) return;
    this.#usage.files -= 1;
    this.#usage.bytes -= row.size ?? 0;
  }

  #countState(state: LiveState): void {
    this.#liveRows += 1;
    if (state.kind !== 'file') return;
    this.#usage.files += 1;
    this.#usage.bytes += state.size;
  }

  #countLiveRows(): number {
    return (this.#statements.liveRows.get() as { count: number }).count;
  }

  #writeMeta(meta: IndexMeta): void {
    this.#statements.setMeta.run(formatIndexMeta(meta));
  }

  #run<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw databaseError(error);
    }
  }
}

function prepareStatements(database: Database.Database) {
  const marks = stateColumns.replaceAll(/\w+/g, '?');
  const rows = (sql: string) => database.prepare(sql).safeIntegers();
  const live = `SELECT path, named_in, ${stateColumns} FROM live`;
  const versions = `SELECT id, path, name, replaced_at, ended, ${stateColumns} FROM versions`;
  return {
    meta: database.prepare(`SELECT value FROM meta WHERE key = 'state'`),
    setMeta: database.prepare(`INSERT OR REPLACE INTO meta (key, value) VALUES ('state', ?)`),
    live: rows(`${live} WHERE path = ?`),
    liveBelow: rows(`${live} WHERE path > ? AND path < ? ORDER BY path`),
    liveAfter: rows(`${live} WHERE path > ? ORDER BY path LIMIT ?`),
    liveAt: rows(`${live} WHERE path > ? AND received_at <= ? ORDER BY path LIMIT ?`),
    liveUntil: rows(intervalQueries.live),
    versionsBetween: rows(intervalQueries.versions),
    unnamed: rows(`${live} WHERE path > ? AND named_in <> ? ORDER BY path LIMIT ?`),
    liveSize: database.prepare('SELECT kind, size FROM live WHERE path = ?'),
    setLive: database.prepare(
      `INSERT OR REPLACE INTO live (path, named_in, ${stateColumns}) VALUES (?, ?, ${marks})`,
    ),
    removeLive: database.prepare('DELETE FROM live WHERE path = ?'),
    name: database.prepare('UPDATE live SET named_in = ? WHERE path = ?'),
    liveHolders: database.prepare(
      `SELECT path, size FROM live WHERE hash = ? AND ${isWhole('live', '0')} LIMIT 16`,
    ),
    versionHolders: database.prepare(
      `SELECT name, size FROM versions WHERE hash = ? AND name IS NOT NULL AND ${isWhole('versions', 'versions.id')} LIMIT 16`,
    ),
    versionsAt: rows(
      `${versions} WHERE path > ? AND received_at <= ? AND replaced_at > ? ORDER BY path LIMIT ?`,
    ),
    versionsOf: rows(`${versions} WHERE path = ? ORDER BY replaced_at DESC, id DESC`),
    versionsAfter: rows(
      `${versions} WHERE path > ? AND path IN (SELECT DISTINCT path FROM versions WHERE path > ? ORDER BY path LIMIT ?)
       ORDER BY path, replaced_at, id`,
    ),
    versionName: database.prepare('SELECT 1 FROM versions WHERE name = ?'),
    versionSize: database.prepare('SELECT size FROM versions WHERE id = ?'),
    addVersion: database.prepare(
      `INSERT OR REPLACE INTO versions (id, path, name, replaced_at, ended, ${stateColumns}) VALUES (?, ?, ?, ?, ?, ${marks})`,
    ),
    removeVersion: database.prepare('DELETE FROM versions WHERE id = ?'),
    liveRows: database.prepare('SELECT count(*) AS count FROM live'),
    usage: database.prepare(
      `SELECT (SELECT count(*) FROM live WHERE kind = 0) AS files,
              (SELECT coalesce(sum(size), 0) FROM live WHERE kind = 0) AS bytes,
              (SELECT count(*) FROM versions) AS versions,
              (SELECT coalesce(sum(size), 0) FROM versions WHERE kind = 0) AS versionBytes`,
    ),
  };
}
