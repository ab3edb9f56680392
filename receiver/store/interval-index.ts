import type Database from 'better-sqlite3';
import { encodeRelativePath, parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { BeginEntry, ForgottenEntry, GapEntry, IndexEntry, MetIndex } from './journal-entry.ts';
import { directoryKind, readVersion, type RawRow, type VersionRow } from './index-rows.ts';
import { momentOf, type Moment } from './moment.ts';

/** What was alive at `from`, or came up to `to`; of one path the last content. */
export type MomentInterval = { from: Moment; to: Moment };

export const intervalSchema = `
  CREATE TABLE indexes (number INTEGER PRIMARY KEY, index_id BLOB NOT NULL, reached INTEGER NOT NULL, settled INTEGER,
    complete INTEGER NOT NULL, proven_from INTEGER);
  CREATE INDEX indexes_by_id ON indexes (index_id, number);
  CREATE TABLE gaps (path BLOB NOT NULL, begun INTEGER NOT NULL, ended INTEGER NOT NULL, PRIMARY KEY (path, begun))
    WITHOUT ROWID;
  CREATE INDEX gaps_by_end ON gaps (ended, path);
`;

/** `ended` of a gap that is open. */
const never: Moment = 2n ** 63n - 1n;

type RawIndex = {
  number: number;
  index_id: Buffer;
  reached: number;
  settled: number | null;
  complete: number;
  proven_from: number | null;
};
type RawGap = { path: Buffer; begun: bigint; ended: bigint };

/**
 * The indexes that a store has met, and for which paths and when something may have been alive that never came. A part
 * of the mirror index: written only in its transactions, from entries of the journal.
 */
export class IntervalIndex {
  readonly #statements: ReturnType<typeof prepareIntervals>;
  #gaps: number;

  constructor(database: Database.Database) {
    this.#statements = prepareIntervals(database);
    this.#gaps = this.#countGaps();
  }

  /** How many gaps there are; they count for the quota. */
  get gaps(): number {
    return this.#gaps;
  }

  recount(): void {
    this.#gaps = this.#countGaps();
  }

  latest(): MetIndex | null {
    return readIndex(this.#statements.latest.get() as RawIndex | undefined);
  }

  /** Where an index came back after another one, its last time. */
  byId(indexId: Buffer): MetIndex | null {
    return readIndex(this.#statements.byId.get(indexId) as RawIndex | undefined);
  }

  indexesAfter(number: number, limit: number): MetIndex[] {
    return (this.#statements.indexesAfter.all(number, limit) as RawIndex[]).flatMap(
      (row) => readIndex(row) ?? [],
    );
  }

  /** The number under which records of the index are taken. */
  numberFor(indexId: Buffer): number {
    const latest = this.latest();
    return latest !== null && latest.indexId.equals(indexId) ? latest.number : (latest?.number ?? 0) + 1;
  }

  /** Since when contents of the path may have been missed; null: none is missed now. */
  openGap(path: RelativePath): Moment | null {
    const row = this.#statements.openGap.get(encodeRelativePath(path), never) as RawGap | undefined;
    return row?.begun ?? null;
  }

  /** What is kept of a path that is not alive ended then; null where nothing is kept of it. */
  lastEnd(path: RelativePath): Moment | null {
    const key = encodeRelativePath(path);
    const ends = [this.#statements.versionEnd.get(key), this.#statements.gapEnd.get(key, never)] as (
      | { ended: bigint }
      | undefined
    )[];
    return ends.reduce<Moment | null>((last, row) => {
      if (row === undefined) return last;
      return last === null || row.ended > last ? row.ended : last;
    }, null);
  }

  /**
   * What ended until then cannot be placed among restore points, because lines of the journal were lost; null: nothing
   * can be, yet.
   */
  placedSince(): Moment | null {
    const index = readIndex(this.#statements.lastDoubt.get() as RawIndex | undefined);
    if (index === null) return 0n;
    const { number, provenFrom } = index;
    if (provenFrom !== null) return momentOf(number, provenFrom);
    return this.latest()?.number === number ? null : momentOf(number + 1, 0);
  }

  /** The latest end of a version or a gap that was let go; 0: none was. */
  get forgottenUntil(): Moment {
    const row = this.#statements.forgotten.get() as { value: string } | undefined;
    return BigInt(row?.value ?? 0);
  }

  gapsAfter(after: { path: RelativePath; begun: Moment } | null, limit: number): GapEntry[] {
    const [path, begun] = after === null ? [-1, 0n] : [encodeRelativePath(after.path), after.begun];
    return (this.#statements.gapsAfter.all(path, begun, limit) as RawGap[]).map(readGap);
  }

  /** Paths whose content in the interval is not known for sure, in byte order, after the path. */
  lacking({ from, to }: MomentInterval, after: RelativePath | null, limit: number): RelativePath[] {
    const { firstLacking, nextLacking } = this.#statements;
    const rows =
      after === null
        ? firstLacking.all({ from, to, limit })
        : nextLacking.all({ from, to, after: encodeRelativePath(after), limit });
    return (rows as { path: Buffer }[]).map(({ path }) => path.toString('latin1') as RelativePath);
  }

  countLacking({ from, to }: MomentInterval): number {
    return Number((this.#statements.countLacking.get({ from, to }) as { count: bigint }).count);
  }

  /** Versions that ended later than `from` and not later than `to`, in the order of their ends, after the one of a page. */
  versionsEnded(
    { from, to }: { from: Moment; to: Moment | null },
    after: { ended: Moment; id: number } | null,
    limit: number,
  ): VersionRow[] {
    const [ended, id] = after === null ? [from, Number.MAX_SAFE_INTEGER] : [after.ended, after.id];
    const page = { ended, id, to: to ?? never, limit };
    return (this.#statements.versionsEnded.all(page) as RawRow[]).map(readVersion);
  }

  /** Versions that were replaced or deleted after the one given and until `to` (ms), in that order. */
  versionsReplaced(after: { replacedAt: number; id: number }, to: number, limit: number): VersionRow[] {
    return (this.#statements.versionsReplaced.all({ ...after, to, limit }) as RawRow[]).map(readVersion);
  }

  /** Whether a later state, of until `to`, stands in its way: a file above it, or, of a file, anything below it. */
  isSupplanted({ path, replaced: { holding } }: VersionRow, to: Moment): boolean {
    const came = { after: holding.begun, to };
    for (let above = parentPath(path); above !== null; above = parentPath(above)) {
      const key = encodeRelativePath(above);
      if (this.#statements.fileAbove.get({ ...came, key }) !== undefined) return true;
    }
    if (holding.state.kind === 'directory') return false;
    const [low, high] = [encodeRelativePath(path), encodeRelativePath(path)].map((key, at) =>
      Buffer.concat([key, Buffer.from(at === 0 ? '/' : '0')]),
    );
    return this.#statements.anythingBelow.get({ ...came, low, high }) !== undefined;
  }

  /** When the content that is kept of the path next after that one came; null: there is none. */
  succeededAt(path: RelativePath, begun: Moment, id: number): Moment | null {
    const key = { path: encodeRelativePath(path), begun, id };
    const rows = [this.#statements.nextVersion.get(key), this.#statements.nextLive.get(key)];
    const moments = (rows as ({ begun: bigint } | undefined)[]).flatMap((row) => row?.begun ?? []);
    return moments.reduce<Moment | null>((next, at) => (next === null || at < next ? at : next), null);
  }

  version(id: number): VersionRow | null {
    const row = this.#statements.version.get(id) as RawRow | undefined;
    return row === undefined ? null : readVersion(row);
  }

  /** Versions with a file of their own and a later id, in that order. */
  versionsWithFiles(after: number, limit: number): VersionRow[] {
    return (this.#statements.withFiles.all(after, limit) as RawRow[]).map(readVersion);
  }

  /** Gaps that were over by then, in any order. */
  gapsEndedUntil(to: Moment, limit: number): GapEntry[] {
    return (this.#statements.gapsEnded.all(to, limit) as RawGap[]).map(readGap);
  }

  /** The latest end of a gap that was over by then; null: there is none. */
  lastGapEnd(to: Moment): Moment | null {
    return (this.#statements.lastGapEnd.get(to) as { ended: bigint | null }).ended;
  }

  setGap({ path, begun, ended }: GapEntry): void {
    const key = encodeRelativePath(path);
    if (begun === ended) {
      this.#gaps -= this.#statements.dropGap.run(key, begun).changes;
      return;
    }
    if (this.#statements.hasGap.get(key, begun) === undefined) this.#gaps += 1;
    this.#statements.setGap.run(key, begun, ended ?? never);
  }

  learn(entry: IndexEntry | ForgottenEntry): void {
    if (entry.type === 'forgotten') {
      if (entry.until > this.forgottenUntil) this.#statements.forgetUntil.run(entry.until.toString());
      return;
    }
    const { number, indexId, reached, settled, complete, provenFrom } = entry;
    this.#statements.setIndex.run(number, indexId, reached, settled, complete ? 1 : 0, provenFrom);
  }

  /** Before a batch's changes. */
  begin({ position, indexNumber, doubtful, forgets }: BeginEntry): void {
    if (forgets) this.#statements.forget.run();
    if (position === null || indexNumber === 0) return;
    const { indexId, sequence } = position;
    const returns = this.byId(indexId) !== null;
    this.#statements.meet.run(indexNumber, indexId, doubtful || returns ? null : 0);
    this.#statements.reach.run(sequence, indexNumber);
  }

  /** After them. True: what is alive from here on is proved again, after lines were lost. */
  end({ position, indexNumber, completes, settles }: BeginEntry): boolean {
    if (position === null || indexNumber === 0) return false;
    if (settles) this.#statements.settle.run(position.sequence, indexNumber);
    if (completes) this.#complete(indexNumber);
    return this.#statements.prove.run(indexNumber).changes > 0;
  }

  /** What was not named in the index was gone before it began. */
  #complete(indexNumber: number): void {
    const start = momentOf(indexNumber, 0);
    this.#statements.complete.run(indexNumber);
    this.#statements.closeGaps.run(start, never, start);
  }

  #countGaps(): number {
    return Number((this.#statements.countGaps.get() as { count: bigint }).count);
  }
}

function readGap({ path, begun, ended }: RawGap): GapEntry {
  const key = path.toString('latin1') as RelativePath;
  return { type: 'gap', path: key, begun, ended: ended === never ? null : ended };
}

function readIndex(row: RawIndex | undefined): MetIndex | null {
  if (row === undefined) return null;
  const { number, index_id: indexId, reached, settled, complete, proven_from: provenFrom } = row;
  return { number, indexId, reached, settled, complete: complete === 1, provenFrom };
}

/**
 * A gap says nothing where it was over within the interval and a content is known from there on: one that came later, or the
 * one of before, which was there again when the gap was over.
 */
const isLacking = `g.begun <= @to AND (g.ended > @to OR (
    NOT EXISTS (SELECT 1 FROM live WHERE path = g.path AND begun <= @to)
    AND NOT EXISTS (
      SELECT 1 FROM versions AS v WHERE v.path = g.path AND v.begun <= @to AND (v.begun >= g.ended OR v.ended > g.ended)
    )
  ))`;
/** SQL: those of an interval, each as often as it has gaps; never reads what was over before the interval. */
export const lackingRows = `FROM gaps AS g INDEXED BY gaps_by_end WHERE g.ended > @from AND ${isLacking}`;

/** What an interval is read with: a page of rows, and gaps. */
export const intervalQueries = {
  live: 'SELECT * FROM live WHERE path > @after AND begun <= @to AND @from <= @to ORDER BY path LIMIT @limit',
  // one seek for the next path and one for its last version: what else is kept of a path is never read
  versions: `
    WITH RECURSIVE paths (path) AS (
      SELECT min(path) FROM versions WHERE path > @after
      UNION ALL
      SELECT (SELECT min(next.path) FROM versions AS next WHERE next.path > paths.path)
      FROM paths WHERE paths.path IS NOT NULL
    )
    SELECT v.* FROM paths CROSS JOIN versions AS v ON v.id = (
      SELECT id FROM versions WHERE path = paths.path AND begun <= @to ORDER BY begun DESC, id DESC LIMIT 1
    ) WHERE v.ended > @from LIMIT @limit`,
  firstLacking: `SELECT DISTINCT path ${lackingRows} ORDER BY path LIMIT @limit`,
  // in the order of the table: all pages together read each gap once
  nextLacking: `SELECT DISTINCT path FROM gaps AS g WHERE g.path > @after AND g.ended > @from AND ${isLacking}
    ORDER BY path LIMIT @limit`,
  ended:
    'SELECT * FROM versions WHERE (ended, id) > (@ended, @id) AND ended <= @to ORDER BY ended, id LIMIT @limit',
  replaced:
    'SELECT * FROM versions WHERE (replaced_at, id) > (@replacedAt, @id) AND replaced_at <= @to ORDER BY replaced_at, id LIMIT @limit',
  fileAbove: `SELECT 1 FROM live WHERE path = @key AND kind <> ${directoryKind} AND begun > @after AND begun <= @to
    UNION ALL SELECT 1 FROM versions WHERE path = @key AND kind <> ${directoryKind} AND begun > @after AND begun <= @to LIMIT 1`,
  anythingBelow: `SELECT 1 FROM live WHERE path > @low AND path < @high AND begun > @after AND begun <= @to
    UNION ALL SELECT 1 FROM versions WHERE path > @low AND path < @high AND begun > @after AND begun <= @to LIMIT 1`,
  countLacking: `SELECT count(DISTINCT path) AS count ${lackingRows}`,
} as const;

function prepareIntervals(database: Database.Database) {
  const exact = (sql: string) => database.prepare(sql).safeIntegers();
  return {
    latest: database.prepare('SELECT * FROM indexes ORDER BY number DESC LIMIT 1'),
    byId: database.prepare('SELECT * FROM indexes WHERE index_id = ? ORDER BY number DESC LIMIT 1'),
    indexesAfter: database.prepare('SELECT * FROM indexes WHERE number > ? ORDER BY number LIMIT ?'),
    setIndex: database.prepare('INSERT OR REPLACE INTO indexes VALUES (?, ?, ?, ?, ?, ?)'),
    meet: database.prepare('INSERT OR IGNORE INTO indexes VALUES (?, ?, 0, NULL, 0, ?)'),
    reach: database.prepare('UPDATE indexes SET reached = max(reached, ?) WHERE number = ?'),
    settle: database.prepare('UPDATE indexes SET settled = ? WHERE number = ?'),
    complete: database.prepare('UPDATE indexes SET complete = 1 WHERE number = ?'),
    prove: database.prepare(
      `UPDATE indexes SET proven_from = settled
       WHERE number = ? AND complete = 1 AND settled IS NOT NULL AND proven_from IS NULL`,
    ),
    forget: database.prepare('UPDATE indexes SET settled = NULL, complete = 0, proven_from = NULL'),
    openGap: exact('SELECT begun FROM gaps WHERE path = ? AND ended = ?'),
    hasGap: database.prepare('SELECT 1 FROM gaps WHERE path = ? AND begun = ?'),
    setGap: database.prepare('INSERT OR REPLACE INTO gaps VALUES (?, ?, ?)'),
    dropGap: database.prepare('DELETE FROM gaps WHERE path = ? AND begun = ?'),
    gapsEnded: exact('SELECT * FROM gaps WHERE ended <= ? ORDER BY ended LIMIT ?'),
    versionsEnded: exact(intervalQueries.ended),
    versionsReplaced: exact(intervalQueries.replaced),
    nextVersion: exact(
      'SELECT begun FROM versions WHERE path = @path AND (begun, id) > (@begun, @id) ORDER BY begun, id LIMIT 1',
    ),
    nextLive: exact('SELECT begun FROM live WHERE path = @path AND begun >= @begun'),
    version: exact('SELECT * FROM versions WHERE id = ?'),
    withFiles: exact(
      'SELECT * FROM versions WHERE id > ? AND kind = 0 AND name IS NOT NULL ORDER BY id LIMIT ?',
    ),
    fileAbove: database.prepare(intervalQueries.fileAbove),
    anythingBelow: database.prepare(intervalQueries.anythingBelow),
    lastGapEnd: exact('SELECT max(ended) AS ended FROM gaps WHERE ended <= ?'),
    forgotten: database.prepare(`SELECT value FROM meta WHERE key = 'forgotten'`),
    forgetUntil: database.prepare(`INSERT OR REPLACE INTO meta (key, value) VALUES ('forgotten', ?)`),
    closeGaps: database.prepare('UPDATE gaps SET ended = ? WHERE ended = ? AND begun < ?'),
    countGaps: exact('SELECT count(*) AS count FROM gaps'),
    lastDoubt: database.prepare(
      'SELECT * FROM indexes WHERE proven_from IS NULL OR proven_from > 0 ORDER BY number DESC LIMIT 1',
    ),
    gapsAfter: exact('SELECT * FROM gaps WHERE (path, begun) > (?, ?) ORDER BY path, begun LIMIT ?'),
    gapEnd: exact('SELECT ended FROM gaps WHERE path = ? AND ended < ? ORDER BY begun DESC LIMIT 1'),
    versionEnd: exact('SELECT ended FROM versions WHERE path = ? ORDER BY begun DESC, id DESC LIMIT 1'),
    firstLacking: exact(intervalQueries.firstLacking),
    nextLacking: exact(intervalQueries.nextLacking),
    countLacking: exact(intervalQueries.countLacking),
  };
}
