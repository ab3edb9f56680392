import fs from 'node:fs';
import path from 'node:path';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import { crashPoint } from '../../shared/io/crash-point.ts';
import { lockDirectory } from '../../shared/io/directory-lock.ts';
import { diskErrorCode, diskPath, type Disk } from '../../shared/io/disk.ts';
import type { Logger } from '../../shared/io/logger.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';
import type { AgentQuota } from './agent-quota.ts';
import { batchFilesOn, type BatchFiles } from './batch-files.ts';
import { BatchWriter, treeQuestions } from './batch-writer.ts';
import { FreeSpace } from './free-space.ts';
import type { FolderStoreParts, StoreOpening } from './folder-store.ts';
import type { BeginEntry, JournalEntry, JournalFormat } from './journal-entry.ts';
import { encodeJournalLine } from './journal-line.ts';
import { committedBatches, examineJournal, type JournalExamination } from './journal-replay.ts';
import {
  assertIdentity,
  Journal,
  type JournalIdentity,
  journalHeader,
  listSegments,
  readHeader,
  removeFile,
  segmentFile,
  writeWhole,
} from './journal.ts';
import type { JournalMark } from './index-meta.ts';
import { MirrorIndex } from './mirror-index.ts';
import { unknownMark } from './salvage-begin.ts';
import { snapshotEntries } from './snapshot-entries.ts';
import { cleanIncoming } from './partial-contents.ts';
import { defaultScrubLimits, type ScrubLimits } from './scrub-limits.ts';
import { Staging } from './staging.ts';
import type { StoreLayout } from './store-layout.ts';
import { StorePlace } from './store-place.ts';
import { agreesWithTrees } from './tree-agreement.ts';
import { carryOut } from './tree-writer.ts';
import { VersionNamer } from './version-namer.ts';

export type StoreDeps = {
  disk: Disk;
  /** Does the file work of batches on that disk; the caller's thread where left out. */
  files?: BatchFiles;
  logger: Logger;
  /** Shared by all stores of one agent. */
  quota: AgentQuota;
  /** The receiver's clock, ms. */
  now: () => number;
};

export type StoreOptions = {
  /** `<data>/<agentId>/<folder>`, absolute; made where it is missing. */
  directory: string;
  /** The cache database; lost, old or damaged, it is made anew. */
  databasePath: string;
  agentId: string;
  folderId: string;
  /** The part of the disk that stays free, 0 to 1. */
  freeSpaceFloor: number;
  /** Content that arrived in part is kept so long for another attempt. */
  partialDaysMax: number;
  /** A journal segment past this size gets a successor. Default 8 MiB; tests make it small. */
  journalSegmentBytesMax?: number;
  /** Tests make them small. */
  scrubLimits?: ScrubLimits;
};

/** What differs between the kinds of stores when one is opened. */
export type StoreKind = {
  folders: 'mirror' | 'sealed';
  format: JournalFormat;
  layout: StoreLayout;
  /** Whether there are stored files, whatever the journal says. */
  holdsFiles(disk: Disk): boolean;
  /** Makes the index agree with the plain files after journal lines were lost; see `salvage`. */
  salvage(deps: StoreDeps, layout: StoreLayout, index: MirrorIndex): Promise<void>;
};

/** With the longest path and the longest name of a version this stays below PATH_MAX. */
const rootBytesMax = 700;
const journalSegmentBytesDefault = 8 * 1024 * 1024;

/**
 * Opens what every store stands on, making it where there is none. When it resolves, a batch that a crash cut off is
 * completed, the database says what the journal says, and all of that is durable. The lock is the caller's to release.
 * @throws CodedError ALREADY_RUNNING, HOME_INVALID (another agent's, folder's or kind's data, a path too long), STORE_FULL, DISK_FAILED
 */
export async function openStore(
  deps: StoreDeps,
  options: StoreOptions,
  kind: StoreKind,
): Promise<FolderStoreParts> {
  const { layout } = kind;
  if (layout.root.length > rootBytesMax) {
    throw new CodedError(
      'HOME_INVALID',
      `the path of the data directory is longer than ${rootBytesMax} bytes`,
    );
  }
  await makeDirectories(deps.disk, options.directory, layout);
  const lock = lockDirectory(options.directory);
  let recovered: Recovered | null = null;
  try {
    recovered = await recover(deps, options, kind);
    const { index, journal, namer, opened } = recovered;
    cleanIncoming(deps.disk, layout.incoming, deps.now(), options.partialDaysMax);
    const quota = deps.quota.forFolders(kind.folders);
    const freeSpace = new FreeSpace(
      { disk: deps.disk, giveUp: (bytes) => quota.giveUp(bytes) },
      { path: layout.root, floorFraction: options.freeSpaceFloor },
    );
    const staging = new Staging({ ...deps, quota, freeSpace }, { directory: layout.incoming });
    const place = new StorePlace(deps, layout.root);
    const files = deps.files ?? batchFilesOn(deps.disk);
    const writer = new BatchWriter({ ...deps, files, index, journal, namer, place }, layout);
    const { partialDaysMax, scrubLimits = defaultScrubLimits } = options;
    return {
      ...deps,
      layout,
      databasePath: options.databasePath,
      quota,
      index,
      journal,
      staging,
      writer,
      freeSpace,
      namer,
      lock,
      place,
      partialDaysMax,
      scrubLimits,
      opened,
    };
  } catch (error) {
    recovered?.journal.close();
    recovered?.index.close();
    lock.release();
    throw error;
  }
}

/** Synced every time: an earlier attempt may have made a directory and failed before its name was on disk. */
async function makeDirectories(disk: Disk, directory: string, layout: StoreLayout): Promise<void> {
  const make = (place: string): void => {
    if (disk.stat(diskPath(place)) !== null) return;
    if (path.dirname(place) !== place) make(path.dirname(place));
    disk.mkdir(diskPath(place));
  };
  make(directory);
  for (const place of layout.made) {
    const kind = disk.stat(place)?.kind ?? null;
    if (kind === null) disk.mkdir(place);
    else if (kind !== 'directory') {
      throw new CodedError('HOME_INVALID', `${Buffer.from(place, 'latin1').toString()} is not a directory`);
    }
  }
  await disk.syncDirectory(layout.root);
  const agentDirectory = path.dirname(directory);
  const dataDirectory = path.dirname(agentDirectory);
  for (const place of [agentDirectory, dataDirectory, path.dirname(dataDirectory)]) {
    try {
      await disk.syncDirectory(diskPath(place));
    } catch (error) {
      if (diskErrorCode(error) !== 'EACCES') throw error;
    }
  }
}

type Recovered = { index: MirrorIndex; journal: Journal; namer: VersionNamer; opened: StoreOpening };

async function recover(deps: StoreDeps, options: StoreOptions, kind: StoreKind): Promise<Recovered> {
  const { disk, logger } = deps;
  const { layout } = kind;
  const identity = { format: kind.format, agent: options.agentId, folder: options.folderId };
  const opened: StoreOpening = { rebuiltIndex: false, finishedBatch: false, damagedJournal: null };
  for (const name of disk.list(layout.journal)) {
    if (name.endsWith('.tmp')) disk.unlink(`${layout.journal}/${name}`);
  }
  const { live: segments, superseded } = listSegments(disk, layout.journal);
  if (segments.length === 0) {
    segments.push(1);
    const header = encodeJournalLine(journalHeader(identity, 1, false));
    await writeWhole(disk, layout.journal, segmentFile(layout.journal, 1), header);
  }
  for (const segment of superseded) removeFile(disk, segmentFile(layout.journal, segment));
  for (const segment of segments) {
    const header = readHeader(disk, layout.journal, segment);
    if (header !== null) assertIdentity(header, identity);
  }

  let index = openIndex(options.databasePath, logger) ?? resetIndex(options.databasePath);
  let journal: Journal | null = null;
  try {
    const wanted = index.meta()?.mark ?? null;
    const examined = examineJournal(disk, layout.journal, segments, wanted);
    const isNew = !examined.hasCommits;
    // a batch is in the journal, durably, before the database has it
    const isShort = !isNew && wanted !== null && (index.meta()?.lastBatch ?? 0) > examined.lastBatch;
    const isOrphaned = isShort || (isNew && (wanted !== null || kind.holdsFiles(disk)));
    journal = await continueJournal(disk, layout, segments, identity, options, examined);
    // Where all of the journal is gone, or its end, the database is all there is.
    if (wanted !== null && !examined.holdsMark && !isNew && !isShort) {
      index.close();
      index = resetIndex(options.databasePath);
    }
    // What precedes the mark is in the database already, even where it is damaged in the journal.
    const from = examined.holdsMark ? wanted : null;
    opened.rebuiltIndex = from === null && !isNew && !isShort;
    const damaged = isOrphaned ? journal.mark : examined.damagedAt;
    const isAllThere = isShort && agreesWithTrees(disk, layout, index);
    const needsSalvage =
      !isAllThere && (isOrphaned || (damaged !== null && (from === null || isLater(damaged, from))));
    if (damaged !== null) {
      opened.damagedJournal = { segment: damaged.segment, offset: damaged.offset };
      logger.error(
        { code: 'JOURNAL_DAMAGED', ...opened.damagedJournal, lost: needsSalvage },
        'a journal is damaged or lost',
      );
    }
    if (!isShort) replay(deps, layout, segments, index, from);
    const recovered = { index, journal, namer: new VersionNamer({ disk, index }, layout), opened };
    if (isNew && !isOrphaned) await startJournal(deps, recovered);
    crashPoint('store.replayed');
    if (examined.pending !== null && !isShort) {
      const writerDeps = { disk, logger, ...treeQuestions(index, recovered.namer, layout) };
      const { undone } = await carryOut(writerDeps, layout, examined.pending, true);
      const { begin, changes } = examined.pending;
      await journal.rotate();
      journal.append([{ type: 'commit', batch: begin.batch, undone }]);
      await journal.sync();
      index.apply(begin, changes, undone, journal.mark);
      opened.finishedBatch = true;
    }
    if (needsSalvage) await kind.salvage(deps, layout, index);
    if (damaged !== null) await rewriteJournal(recovered);
    return recovered;
  } catch (error) {
    journal?.close();
    index.close();
    throw error;
  }
}

/** Cuts what the last write left torn, and writes the last segment anew, since a sync of it may have failed unseen. */
async function continueJournal(
  disk: Disk,
  layout: StoreLayout,
  segments: number[],
  identity: JournalIdentity,
  { journalSegmentBytesMax: segmentBytesMax = journalSegmentBytesDefault }: StoreOptions,
  { end }: JournalExamination,
): Promise<Journal> {
  const last = segments.at(-1) ?? 1;
  const endsWithSnapshot = readHeader(disk, layout.journal, last)?.snapshot === true;
  const file = segmentFile(layout.journal, last);
  let mark = end ?? unknownMark;
  if (mark.segment !== last) {
    const header = encodeJournalLine(journalHeader(identity, last, false));
    await writeWhole(disk, layout.journal, file, header);
    mark = { segment: last, offset: header.byteLength, checksum: header.toString('latin1', 0, 8) };
  } else if (!endsWithSnapshot) {
    const fd = disk.open(file, 'read');
    const content = Buffer.alloc(mark.offset);
    try {
      for (let got = 0; got < content.length;) {
        const more = disk.read(fd, content.subarray(got), got);
        if (more === 0) break;
        got += more;
      }
    } finally {
      disk.close(fd);
    }
    await writeWhole(disk, layout.journal, file, content);
  }
  crashPoint('store.tail-rewritten');
  return new Journal(
    { disk },
    { directory: layout.journal, identity, segments, mark, endsWithSnapshot, segmentBytesMax },
  );
}

function replay(
  { disk }: StoreDeps,
  layout: StoreLayout,
  segments: readonly number[],
  index: MirrorIndex,
  from: JournalMark | null,
): void {
  for (const { begin, changes, undone, last, mark } of committedBatches(
    disk,
    layout.journal,
    segments,
    from,
  )) {
    // Between the parts of a snapshot the mark is one that no journal has: a crash there starts over.
    if (last) index.apply(begin, changes, undone, mark);
    else index.apply({ ...begin, position: null }, changes, [], unknownMark);
  }
}

/** The first batch of a journal, so that every index has a state. */
async function startJournal({ now }: StoreDeps, { index, journal }: Recovered): Promise<void> {
  const begin: BeginEntry = {
    type: 'begin',
    batch: 1,
    at: now(),
    nextVersionId: 1,
    position: null,
    indexNumber: 0,
    completes: false,
    settles: false,
    forgets: false,
    doubtful: false,
  };
  const frame: JournalEntry[] = [
    begin,
    { type: 'intent', batch: 1, entries: 0 },
    { type: 'commit', batch: 1, undone: [] },
  ];
  await journal.rotate();
  journal.append(frame);
  await journal.sync();
  index.apply(begin, [], [], journal.mark);
}

async function rewriteJournal({ index, journal }: Recovered): Promise<void> {
  const meta = index.meta();
  if (meta === null) return;
  await journal.replaceBySnapshot(snapshotEntries(index, meta), 'keepOld');
  index.moveMark(journal.mark);
}

/** Null where the database cannot be used. */
function openIndex(databasePath: string, logger: Logger): MirrorIndex | null {
  fs.mkdirSync(path.dirname(databasePath), { recursive: true, mode: 0o750 });
  try {
    return new MirrorIndex(openDatabase(databasePath));
  } catch (error) {
    if (!isCoded(error, 'DATABASE_CORRUPT') && !isNotDatabase(error)) throw error;
    logger.warn({ code: 'DATABASE_CORRUPT', databasePath }, 'the database of a store is made anew');
    return null;
  }
}

function resetIndex(databasePath: string): MirrorIndex {
  for (const suffix of ['', '-wal', '-shm']) fs.rmSync(`${databasePath}${suffix}`, { force: true });
  return new MirrorIndex(openDatabase(databasePath));
}

function isNotDatabase(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    ['SQLITE_NOTADB', 'SQLITE_CORRUPT'].includes(String(error.code))
  );
}

function isLater(a: JournalMark, b: JournalMark): boolean {
  return a.segment === b.segment ? a.offset > b.offset : a.segment > b.segment;
}
