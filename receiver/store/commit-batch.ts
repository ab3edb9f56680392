import { CodedError } from '../../shared/errors/coded-error.ts';
import type { FileRecord, PathState } from '../../shared/records/file-record.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { BeginEntry } from './journal-entry.ts';
import type { IndexMeta } from './index-meta.ts';

/**
 * Records up to a checkpoint of the agent; `missing`: announced in it and gone before their content was sent. `isHead`: the
 * agent had nothing later when it read them.
 */
export type CommitBatch = {
  indexId: Buffer;
  records: readonly FileRecord[];
  missing: readonly FileRecord[];
  through: number;
  token: Buffer;
  isHead: boolean;
};

/** A batch's time is strictly later than that of the one before, whatever the clock does, so that states do not overlap. */
export function nextBegin(meta: IndexMeta, nowMs: number, position: FeedPosition | null): BeginEntry {
  return {
    type: 'begin',
    batch: meta.lastBatch + 1,
    at: Math.max(nowMs, meta.lastBatchAt + 1),
    nextVersionId: meta.nextVersionId,
    position,
    indexNumber: 0,
    completes: false,
    settles: false,
    forgets: false,
    doubtful: meta.doubtful,
  };
}

/** @throws CodedError PROTOCOL_VIOLATION: goes back, reaches past its end, names a path twice, or makes the root a file. */
export function assertInOrder(
  { indexId, records: present, missing, through }: CommitBatch,
  reached: FeedPosition | null,
): void {
  const records = [...present, ...missing];
  const before = reached !== null && reached.indexId.equals(indexId) ? reached.sequence : -1;
  const wrong = records.find(({ sequence }) => sequence <= before || sequence > through);
  if (through <= before || wrong !== undefined) {
    throw new CodedError('PROTOCOL_VIOLATION', `a batch through sequence ${through} came after ${before}`, {
      context: { through, before, recordSequence: wrong?.sequence ?? null },
    });
  }
  if (records.some(({ path, state }) => path === '' && isContentKind(state))) {
    throw new CodedError('PROTOCOL_VIOLATION', 'the root of a folder is no directory');
  }
  if (new Set(records.map(({ path }) => path)).size < records.length) {
    throw new CodedError('PROTOCOL_VIOLATION', 'a batch names a path twice');
  }
}

function isContentKind(state: PathState): boolean {
  return state.kind === 'file' || state.kind === 'symlink';
}
