import fs, { type BigIntStats } from 'node:fs';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { PathState } from '../../shared/records/file-record.ts';
import { childPath, pathBytesMax, type RelativePath } from '../../shared/records/relative-path.ts';
import type { IndexRow } from '../index/index-row.ts';
import { sameState } from '../index/index-row.ts';
import type { DirectoryTimes } from '../index/directory-table.ts';
import { entryPath, isAbsence, openDirectoryIn } from '../index/source-file.ts';
import { hasTimes, quietEntriesMax, timesOfStill } from './directory-times.ts';
import { recordFile, recordSymlink } from './file-scan.ts';
import type { ScanSink } from './scan-sink.ts';
import { settle } from './settle.ts';
import { modeOf } from './signature.ts';

/** An open directory of the source, with what fstat says of it and of the directory that holds it (null at the root). */
export type OpenDirectory = {
  path: RelativePath;
  fd: number;
  stat: BigIntStats;
  parentStat: BigIntStats | null;
  /** What looks had found when the index had nothing below it: as long as they find no more it still has nothing. */
  emptyAsOf?: number | null;
};

type Listing = {
  /** With whether the listing says that it is a directory. */
  names: ReadonlyMap<string, boolean>;
  /** Names that the index may have: files, links, directories, and what could not be looked at. */
  present: Set<string>;
  /** Null: it was not looked at, because it is to be entered. */
  directories: Map<string, BigIntStats | null>;
  /** Names of the rows that were read; null when there were too many to hold. */
  known: Iterable<string> | null;
  newestNs: bigint;
};

const rowPage = 1000;
/** Above this the rows are asked for one by one instead of being held at once. */
const rowsHeldMax = 4096;
/** A directory whose own size is larger is listed piece by piece. */
const listedAtOnceBytesMax = 256n * 1024n;

/**
 * Which directories below are entered: all; or, asked once about each in the first: it is entered now, it is compared by
 * itself later, or neither, so that all that is recorded of it is what the directory that holds it tells.
 */
export type Entering =
  | 'all'
  | ((path: RelativePath, name: string, stat: BigIntStats) => 'now' | 'later' | 'never');

/**
 * What came of one directory: the names to enter, last one first, its times, where nothing is left to do in it, and what
 * looks had found when they were taken.
 */
type Compared = { children: string[]; times: DirectoryTimes | null; foundByLooks: number };

/** A directory under way; `owned` says that the walk opened it. */
type Frame = Compared & { directory: OpenDirectory; owned: boolean };

/**
 * Compares a directory with the index, and those below it that are entered; each is noted after all that are below it.
 * Deletions of what stands in the way come before what takes its place.
 * A generator: it yields whenever the slice is over. The caller closes the descriptor.
 */
export function* scanDirectory(
  sink: ScanSink,
  directory: OpenDirectory,
  entering: Entering,
): Generator<undefined, void> {
  // A stack of our own: trees may be deeper than the call stack.
  const frames: Frame[] = [];
  try {
    frames.push({ directory, ...(yield* compareDirectory(sink, directory, entering)), owned: false });
    for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
      const name = frame.children.pop();
      if (name === undefined) {
        const times = timesAfter(sink, frame);
        frames.pop();
        if (frame.owned) fs.closeSync(frame.directory.fd);
        sink.note({ type: 'compared', path: frame.directory.path, times });
      } else {
        yield* enterChild(sink, frames, frame, name);
      }
      if (sink.sliceIsOver()) yield;
    }
  } finally {
    for (const frame of frames) if (frame.owned) fs.closeSync(frame.directory.fd);
  }
}

/** A look that found a change here while the walk was below has recorded another state than the one compared. */
function timesAfter(sink: ScanSink, { directory, times, foundByLooks }: Frame): DirectoryTimes | null {
  if (sink.foundByLooks() === foundByLooks) return times;
  return times !== null && hasTimes(fs.fstatSync(directory.fd, { bigint: true }), times) ? times : null;
}

/** Everything of one directory itself. */
function* compareDirectory(
  sink: ScanSink,
  directory: OpenDirectory,
  entering: Entering,
): Generator<undefined, Compared> {
  sink.beforeDirectory(directory.path);
  const [doubts, foundByLooks] = [sink.doubts(), sink.foundByLooks()];
  const times = timesOfStill(directory.stat, sink.nowMs());
  const listing = yield* compareEntries(sink, directory, entering === 'all');
  sink.listed(directory.path, listing.newestNs, listing.names.size);
  yield* deleteVanished(sink, directory, listing);
  recordDirectory(sink, directory, listing.present.size > 0);
  const children: string[] = [];
  for (const [name, stat] of listing.directories) {
    const path = childPath(directory.path, name);
    const when = stat === null || entering === 'all' ? 'now' : entering(path, name, stat);
    if (when === 'now') children.push(name);
    else if (when === 'never' && stat !== null)
      recordDirectory(sink, { path, fd: -1, stat, parentStat: directory.stat }, true);
    if (sink.sliceIsOver()) yield;
  }
  const isQuiet = sink.doubts() === doubts && listing.names.size <= quietEntriesMax;
  return { children: children.toReversed(), times: isQuiet ? times : null, foundByLooks };
}

/** Opens a child and compares it; what is below it follows by its frame. */
function* enterChild(
  sink: ScanSink,
  frames: Frame[],
  parent: Frame,
  name: string,
): Generator<undefined, void> {
  const path = childPath(parent.directory.path, name);
  let fd: number | null = null;
  try {
    fd = openDirectoryIn(parent.directory.fd, name);
    const stat = fs.fstatSync(fd, { bigint: true });
    const emptyAsOf = isEmptyInIndex(sink, parent.directory) ? sink.foundByLooks() : askIfEmpty(sink, path);
    const directory = { path, fd, stat, parentStat: parent.directory.stat, emptyAsOf };
    frames.push({ directory, ...(yield* compareDirectory(sink, directory, 'all')), owned: true });
    fd = null;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    parent.times = null;
    if (isAbsence(error)) sink.lookAgain(parent.directory.path);
    else sink.unreadable(path, error, false);
  } finally {
    if (fd !== null) fs.closeSync(fd);
  }
}

/** Whether the index has nothing below the directory, and need not be asked about what is there. */
function isEmptyInIndex(sink: ScanSink, { emptyAsOf }: OpenDirectory): boolean {
  return emptyAsOf === sink.foundByLooks();
}

function askIfEmpty(sink: ScanSink, path: RelativePath): number | null {
  sink.beforeDirectory(path);
  return sink.index.below(path, null, 1).length === 0 ? sink.foundByLooks() : null;
}

function* compareEntries(
  sink: ScanSink,
  directory: OpenDirectory,
  entersAll: boolean,
): Generator<undefined, Listing> {
  const names = yield* listNames(sink, directory);
  const rows = names.size <= rowsHeldMax ? readRows(sink, directory) : null;
  const listing: Listing = {
    names,
    present: new Set(),
    directories: new Map(),
    known: rows?.keys() ?? null,
    newestNs: directory.stat.ctimeNs,
  };
  for (const [name, isDirectory] of names) {
    const path = childPath(directory.path, name);
    if (path.length > pathBytesMax) {
      sink.unreadable(path, new CodedError('PATH_INVALID', 'the path is too long'), false);
      continue;
    }
    const row = rows === null ? sink.index.get(path) : (rows.get(name) ?? null);
    // its own descriptor tells the rest
    if (isDirectory && entersAll && (row === null || row.state.kind === 'directory')) {
      if (!sink.rules.ignores(path, true)) addDirectory(listing, name, null);
    } else yield* compareEntry(sink, directory, listing, { name, path, row });
    if (sink.sliceIsOver()) yield;
  }
  return listing;
}

type Entry = { name: string; path: RelativePath; row: IndexRow | null };

function* compareEntry(
  sink: ScanSink,
  directory: OpenDirectory,
  listing: Listing,
  { name, path, row }: Entry,
): Generator<undefined, void> {
  let stat: BigIntStats;
  try {
    stat = fs.lstatSync(entryPath(directory.fd, name), { bigint: true });
  } catch (error) {
    if (isAbsence(error)) return;
    listing.present.add(name);
    sink.unreadable(path, error, row !== null);
    return;
  }
  if (sink.rules.ignores(path, stat.isDirectory())) return;
  if (stat.isDirectory()) {
    addDirectory(listing, name, stat);
    if (row !== null && row.state.kind !== 'directory') {
      replaceByDirectory(sink, { path, fd: -1, stat, parentStat: directory.stat });
    }
    return;
  }
  if (!stat.isFile() && !stat.isSymbolicLink()) {
    sink.special(path);
    return;
  }
  listing.present.add(name);
  if (stat.ctimeNs > listing.newestNs) listing.newestNs = stat.ctimeNs;
  if ((row === null && !isEmptyInIndex(sink, directory)) || row?.state.kind === 'directory')
    yield* deleteBelow(sink, path);
  if (stat.isFile()) yield* recordFile(sink, directory.fd, { name, path, row }, stat);
  else recordSymlink(sink, directory.fd, { name, path, row }, stat);
}

function addDirectory(listing: Listing, name: string, stat: BigIntStats | null): void {
  listing.present.add(name);
  listing.directories.set(name, stat);
}

/** Rows of this directory, and of directories below it, that the listing no longer has. */
function* deleteVanished(
  sink: ScanSink,
  directory: OpenDirectory,
  listing: Listing,
): Generator<undefined, void> {
  for (const name of listing.known ?? namesInIndex(sink, directory.path)) {
    if (!listing.present.has(name) && isGone(sink, directory, listing, name)) {
      sink.change(deletion(childPath(directory.path, name)));
    }
    if (sink.sliceIsOver()) yield;
  }
  if (isEmptyInIndex(sink, directory)) return;
  let name = sink.index.nextChildDirectory(directory.path, null);
  while (name !== null) {
    if (!listing.present.has(name) && isGone(sink, directory, listing, name)) {
      yield* deleteBelow(sink, childPath(directory.path, name));
    }
    if (sink.sliceIsOver()) yield;
    name = sink.index.nextChildDirectory(directory.path, name);
  }
}

/** Everything that the index has below a path. */
export function* deleteBelow(sink: ScanSink, path: RelativePath): Generator<undefined, void> {
  let after: RelativePath | null = null;
  for (;;) {
    const page: RelativePath[] = sink.index.below(path, after, rowPage);
    for (const gone of page) sink.change(deletion(gone));
    after = page.at(-1) ?? null;
    if (sink.sliceIsOver()) yield;
    if (page.length < rowPage) return;
  }
}

/** Asks once more: the row may be newer than the listing. A name that is there but is ignored or special counts as gone. */
function isGone(sink: ScanSink, directory: OpenDirectory, listing: Listing, name: string): boolean {
  if (listing.names.has(name)) return true;
  try {
    fs.lstatSync(entryPath(directory.fd, name));
    sink.lookAgain(directory.path);
    return false;
  } catch (error) {
    if (isAbsence(error)) return true;
    sink.unreadable(childPath(directory.path, name), error, true);
    return false;
  }
}

/**
 * A directory has a record when it is the root, has one already, differs from its parent in mode or owner, or has been
 * empty for the settle time.
 */
function recordDirectory(sink: ScanSink, directory: OpenDirectory, hasEntries: boolean): void {
  const { path, stat, parentStat } = directory;
  const row = sink.index.get(path);
  const state = directoryState(stat);
  const owed =
    parentStat === null || row?.state.kind === 'directory' || !sameState(state, directoryState(parentStat));
  if (owed) {
    if (row === null || row.dirty || !sameState(row.state, state)) sink.change(found(path, state, stat));
    return;
  }
  if (hasEntries) return;
  const verdict = settle({
    size: 0,
    mtimeNs: stat.mtimeNs,
    ctimeNs: sink.isNetwork() ? null : stat.ctimeNs,
    nowMs: sink.nowMs(),
    stillForMs: 0,
  });
  if (verdict.ready) sink.change(found(path, state, stat));
  else sink.unsettled(path, stat, verdict.lookAgainInMs);
}

/** A file or link stood where a directory is now. */
function replaceByDirectory(sink: ScanSink, { path, stat, parentStat }: OpenDirectory): void {
  const state = directoryState(stat);
  const owed = parentStat !== null && !sameState(state, directoryState(parentStat));
  sink.change(owed ? found(path, state, stat) : deletion(path));
}

function* listNames(sink: ScanSink, directory: OpenDirectory): Generator<undefined, Map<string, boolean>> {
  const self = `/proc/self/fd/${directory.fd}`;
  const names = new Map<string, boolean>();
  if (directory.stat.size <= listedAtOnceBytesMax) {
    // as bytes, because Node looks itself at entries of which the file system does not say what they are
    for (const entry of fs.readdirSync(self, { encoding: 'buffer', withFileTypes: true }))
      names.set(entry.name.toString('latin1'), entry.isDirectory());
    return names;
  }
  const open = fs.opendirSync(self, { encoding: 'latin1', bufferSize: 256 });
  try {
    for (let entry = open.readSync(); entry !== null; entry = open.readSync()) {
      names.set(entry.name, entry.isDirectory());
      if (sink.sliceIsOver()) yield;
    }
  } finally {
    open.closeSync();
  }
  return names;
}

/** All rows of a directory, in pages. */
function* rowsInIndex(sink: ScanSink, directory: RelativePath): Generator<IndexRow, void> {
  let after = '';
  for (;;) {
    const page = sink.index.children(directory, after, rowPage);
    yield* page;
    if (page.length < rowPage) return;
    after = page.at(-1)?.name ?? after;
  }
}

function* namesInIndex(sink: ScanSink, directory: RelativePath): Generator<string, void> {
  for (const row of rowsInIndex(sink, directory)) yield row.name;
}

function readRows(sink: ScanSink, directory: OpenDirectory): Map<string, IndexRow> {
  if (isEmptyInIndex(sink, directory)) return new Map();
  return new Map(rowsInIndex(sink, directory.path).map((row) => [row.name, row]));
}

function directoryState(stat: BigIntStats): Extract<PathState, { kind: 'directory' }> {
  return { kind: 'directory', mode: modeOf(stat), uid: Number(stat.uid), gid: Number(stat.gid) };
}

function found(path: RelativePath, state: PathState, stat: BigIntStats) {
  return { path, state, ctimeNs: stat.ctimeNs, ino: stat.ino, chunks: null };
}

function deletion(path: RelativePath) {
  return { path, state: { kind: 'deleted' } as const, ctimeNs: 0n, ino: 0n, chunks: null };
}

/** Thrown by a call of the system. */
export function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}
