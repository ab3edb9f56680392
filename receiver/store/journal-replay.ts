import type { Disk, DiskPath } from '../../shared/io/disk.ts';
import type { BeginEntry, ChangeEntry, CommitEntry, JournalEntry } from './journal-entry.ts';
import { decodeJournalLine } from './journal-line.ts';
import { readSegment } from './journal.ts';
import type { JournalMark } from './index-meta.ts';
import type { IntentBatch } from './tree-writer.ts';

/** What the segments say, before anything is applied. */
export type JournalExamination = {
  /** Where the journal ends: after the last batch that counts, or after a whole intent without its commit. */
  end: JournalMark | null;
  /** A batch whose intent is whole and that lacks its commit: it has to be carried out. */
  pending: IntentBatch | null;
  /** The first damaged line that something committed follows. */
  damagedAt: JournalMark | null;
  /** False: the journal is new, or another one was lost. */
  hasCommits: boolean;
  /** The number of the last batch of which there is a whole intent or a commit; 0 before the first. */
  lastBatch: number;
  /** Whether a line ends at the mark that was asked for, and has its checksum. */
  holdsMark: boolean;
};

export type CommittedBatch = {
  begin: BeginEntry;
  changes: ChangeEntry[];
  undone: CommitEntry['undone'];
  /** False: more changes of the same batch follow (snapshots come in parts). */
  last: boolean;
  mark: JournalMark;
};

const changesAtOnce = 4096;

/** Reads every line once. A damaged line that no commit follows is the torn end of the last write, not damage. */
export function examineJournal(
  disk: Disk,
  directory: DiskPath,
  segments: readonly number[],
  wanted: JournalMark | null,
): JournalExamination {
  const found: JournalExamination = {
    end: null,
    pending: null,
    damagedAt: null,
    hasCommits: false,
    lastBatch: 0,
    holdsMark: false,
  };
  let open: { begin: BeginEntry; changes: Buffer[] } | null = null;
  let doubtful: JournalMark | null = null;
  for (const [at, segment] of segments.entries()) {
    if (at > 0 && segment !== (segments[at - 1] ?? 0) + 1) doubtful ??= { segment, offset: 0, checksum: '' };
    for (const { line, intact, mark } of readSegment(disk, directory, segment)) {
      if (!intact) {
        doubtful ??= mark;
        continue;
      }
      if (isSameMark(mark, wanted)) found.holdsMark = true;
      const type = frameType(line);
      if (type === null) {
        open?.changes.push(Buffer.from(line));
        continue;
      }
      const entry = decodeJournalLine(line);
      if (entry.type === 'begin') open = { begin: entry, changes: [] };
      if (entry.type === 'header' && doubtful === null) found.end = mark;
      if (entry.type === 'intent' && doubtful === null && open?.changes.length === entry.entries) {
        found.pending = { begin: open.begin, changes: open.changes.map((change) => decodeChange(change)) };
        found.lastBatch = entry.batch;
        found.end = mark;
      }
      if (entry.type === 'commit') {
        found.hasCommits = true;
        found.lastBatch = entry.batch;
        found.damagedAt ??= doubtful;
        doubtful = null;
        open = null;
        found.pending = null;
        found.end = mark;
      }
    }
  }
  return found;
}

/** The committed batches from the mark on (null: all), in order; damaged lines are left out. */
export function* committedBatches(
  disk: Disk,
  directory: DiskPath,
  segments: readonly number[],
  from: JournalMark | null,
): Generator<CommittedBatch> {
  let begin: BeginEntry | null = null;
  let changes: ChangeEntry[] = [];
  for (const segment of segments) {
    if (from !== null && segment < from.segment) continue;
    const start = segment === from?.segment ? from.offset : 0;
    let isSnapshot = false;
    for (const { line, intact, mark } of readSegment(disk, directory, segment, start)) {
      if (!intact) continue;
      const entry: JournalEntry = decodeJournalLine(line);
      switch (entry.type) {
        case 'header':
          isSnapshot = entry.snapshot;
          break;
        case 'begin':
          begin = entry;
          changes = [];
          break;
        case 'intent':
          break;
        case 'commit':
          yield {
            begin: begin ?? lostBegin(entry, changes),
            changes,
            undone: entry.undone,
            last: true,
            mark,
          };
          begin = null;
          changes = [];
          break;
        case 'set':
        case 'remove':
        case 'missing':
        case 'version':
        case 'expire':
        case 'gap':
        case 'damage':
        case 'index':
        case 'forgotten':
          changes.push(entry);
          if (isSnapshot && begin !== null && changes.length >= changesAtOnce) {
            yield { begin, changes, undone: [], last: false, mark };
            changes = [];
          }
      }
    }
  }
}

/** What can be said of a batch whose first line is damaged: its time is that of the content that it brought. */
function lostBegin(commit: CommitEntry, changes: readonly ChangeEntry[]): BeginEntry {
  const holdings = changes.flatMap((change) => (change.type === 'set' ? [change.holding.receivedAt] : []));
  const ids = changes.flatMap((change) => ('replaced' in change ? (change.replaced?.id ?? []) : []));
  return {
    type: 'begin',
    batch: commit.batch,
    at: Math.max(0, ...holdings),
    nextVersionId: Math.max(0, ...ids) + 1,
    position: null,
    indexNumber: 0,
    completes: false,
    settles: false,
    forgets: false,
    doubtful: true,
  };
}

function decodeChange(line: Buffer): ChangeEntry {
  return decodeJournalLine(line) as ChangeEntry;
}

/** The lines that frame batches are told apart without parsing the others: `type` is the first field. */
function frameType(line: Buffer): string | null {
  return /^\{"type":"(header|begin|intent|commit)"/.exec(line.toString('latin1', 9, 40))?.[1] ?? null;
}

function isSameMark(a: JournalMark, b: JournalMark | null): boolean {
  return b !== null && a.offset === b.offset && a.segment === b.segment && a.checksum === b.checksum;
}
