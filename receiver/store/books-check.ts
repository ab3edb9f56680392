import fs from 'node:fs';
import type Database from 'better-sqlite3';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { diskErrorCode, type Disk, type DiskPath } from '../../shared/io/disk.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';
import type { JournalEntry } from './journal-entry.ts';
import { decodeJournalLine } from './journal-line.ts';
import { committedBatches } from './journal-replay.ts';
import { readSegment, segmentFile } from './journal.ts';
import type { JournalMark } from './index-meta.ts';
import { MirrorIndex } from './mirror-index.ts';
import { unknownMark } from './salvage-begin.ts';

/** A journal that ends at `mark`, and the database of the same store. */
export type BooksInput = {
  databasePath: string;
  directory: DiskPath;
  segments: readonly number[];
  mark: JournalMark;
};

/** What is wrong; null: nothing. `journal`: behind the first line that is. `database`: in words. */
export type BooksVerdict = {
  journal: { segment: number; offset: number } | null;
  database: string | null;
};

type Deps = {
  disk: Disk;
  /** What is read of the database from here on does not change any more, whatever is written to it. */
  onBegun: () => void;
  /** Called every few hundred lines and rows. */
  pause: () => void;
};

const linesPerPause = 500;
const tables = [
  'live ORDER BY path',
  'versions ORDER BY id',
  'gaps ORDER BY path, begun',
  'indexes ORDER BY number',
  'damaged ORDER BY path, id',
  `meta WHERE key IN ('state', 'forgotten') ORDER BY key`,
];

/**
 * Reads all of the journal and all of the database, and compares them: a second database is made from the journal and
 * has to have the same rows. Writes nothing but that one, beside the database, and removes it.
 */
export function checkBooks(deps: Deps, input: BooksInput): BooksVerdict {
  const { database, problem } = openSnapshot(input.databasePath);
  deps.onBegun();
  try {
    const journal = journalDamage(deps, input);
    const wrong = problem ?? (database === null ? null : integrityProblem(database));
    if (journal !== null || wrong !== null || database === null) return { journal, database: wrong };
    return { journal, database: differenceTo(database, deps, input) };
  } finally {
    database?.close();
  }
}

function openSnapshot(file: string): { database: Database.Database | null; problem: string | null } {
  try {
    const database = openDatabase(file, { readonly: true });
    database.exec('BEGIN');
    database.prepare('SELECT count(*) FROM meta').get();
    return { database, problem: null };
  } catch (error) {
    return { database: null, problem: error instanceof Error ? error.message : String(error) };
  }
}

function integrityProblem(database: Database.Database): string | null {
  try {
    const said = String(database.pragma('integrity_check(1)', { simple: true }));
    return said === 'ok' ? null : said;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Every line is intact, batches follow each other, each is whole, and the last line is where the journal ends. */
function journalDamage({ disk, pause }: Deps, { directory, segments, mark: end }: BooksInput) {
  let at: JournalMark = { segment: segments[0] ?? 0, offset: 0, checksum: '' };
  const frames = new BatchFrames();
  let lines = 0;
  for (const segment of segments) {
    if (disk.stat(segmentFile(directory, segment)) === null) return { segment, offset: 0 };
    at = { segment, offset: 0, checksum: '' };
    for (const { line, intact, mark } of readableLines(disk, directory, segment)) {
      if (segment === end.segment && mark.offset > end.offset) break;
      if (!intact || !frames.take(line)) return { segment, offset: mark.offset };
      at = mark;
      lines += 1;
      if (lines % linesPerPause === 0) pause();
    }
  }
  const isWhole = at.segment === end.segment && at.offset === end.offset && at.checksum === end.checksum;
  return isWhole && frames.isClosed ? null : { segment: at.segment, offset: at.offset };
}

/** What the disk refuses to read counts as a damaged line. */
function* readableLines(disk: Disk, directory: DiskPath, segment: number): ReturnType<typeof readSegment> {
  let offset = 0;
  try {
    for (const line of readSegment(disk, directory, segment)) {
      ({ offset } = line.mark);
      yield line;
    }
  } catch (error) {
    if (!isCoded(error, 'DISK_FAILED') || diskErrorCode(error) === 'ENOENT') throw error;
    yield { line: Buffer.alloc(0), intact: false, mark: { segment, offset, checksum: '' } };
  }
}

/** Whether the lines of a journal can follow each other. */
class BatchFrames {
  #open: { batch: number; changes: number } | null = null;
  #last: number | null = null;

  get isClosed(): boolean {
    return this.#open === null;
  }

  take(line: Buffer): boolean {
    const type = /^\{"type":"([a-z]+)"/.exec(line.toString('latin1', 9, 40))?.[1];
    if (type === 'header') return true;
    if (type !== 'begin' && type !== 'intent' && type !== 'commit') {
      if (this.#open === null) return false;
      this.#open.changes += 1;
      return true;
    }
    return this.#takeFrame(decodeJournalLine(line));
  }

  #takeFrame(entry: JournalEntry): boolean {
    if (entry.type === 'begin') {
      const follows = this.#last === null || entry.batch === this.#last + 1;
      if (this.#open !== null || !follows) return false;
      this.#open = { batch: entry.batch, changes: 0 };
      return true;
    }
    if (entry.type === 'intent') return this.#open?.changes === entry.entries;
    if (entry.type !== 'commit' || this.#open?.batch !== entry.batch) return false;
    this.#last = entry.batch;
    this.#open = null;
    return true;
  }
}

function differenceTo(database: Database.Database, deps: Deps, input: BooksInput): string | null {
  const file = `${input.databasePath}.check`;
  const remove = (): void => {
    for (const suffix of ['', '-wal', '-shm']) fs.rmSync(`${file}${suffix}`, { force: true });
  };
  remove();
  const made = openDatabase(file);
  made.pragma('synchronous = OFF');
  const index = new MirrorIndex(made);
  try {
    replayTo(index, deps, input);
    for (const table of tables) {
      if (!haveSameRows(database, made, table, deps.pause))
        return `the table ${table.split(' ')[0]} is not what the journal says`;
    }
    return null;
  } finally {
    index.close();
    remove();
  }
}

function replayTo(
  index: MirrorIndex,
  { disk, pause }: Deps,
  { directory, segments, mark: end }: BooksInput,
): void {
  let since = 0;
  for (const { begin, changes, undone, last, mark } of committedBatches(disk, directory, segments, null)) {
    if (last) index.apply(begin, changes, undone, mark);
    else index.apply({ ...begin, position: null }, changes, [], unknownMark);
    since += changes.length + 1;
    if (since >= linesPerPause) {
      since = 0;
      pause();
    }
    if (last && mark.segment === end.segment && mark.offset >= end.offset) return;
  }
}

function haveSameRows(
  one: Database.Database,
  other: Database.Database,
  table: string,
  pause: () => void,
): boolean {
  const rows = (database: Database.Database): IterableIterator<unknown> =>
    database.prepare(`SELECT * FROM ${table}`).raw().safeIntegers().iterate();
  const others = rows(other);
  let count = 0;
  try {
    for (const row of rows(one)) {
      const next = others.next();
      if (next.done === true || !isSameRow(row as unknown[], next.value as unknown[])) return false;
      count += 1;
      if (count % linesPerPause === 0) pause();
    }
    return others.next().done === true;
  } finally {
    others.return?.();
  }
}

function isSameRow(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.every((value, at) => {
    const other = b[at];
    return Buffer.isBuffer(value) && Buffer.isBuffer(other) ? value.equals(other) : value === other;
  });
}
