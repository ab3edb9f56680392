import type { JournalMark } from './index-meta.ts';
import type { BeginEntry } from './journal-entry.ts';
import type { MirrorIndex } from './mirror-index.ts';

/** No journal has it: an index with this mark is made anew when the salvage does not come to its end. */
export const unknownMark: JournalMark = { segment: 0, offset: 0, checksum: '' };

/** Of what a salvage found: in no index of the agent's until the agent names it again. */
export const unknownIndexId = Buffer.alloc(8);

/** Beside what the index has. The position is dropped, so that the agent names everything again. */
export function salvageBegin(index: MirrorIndex, nowMs: number): BeginEntry {
  const meta = index.meta();
  return {
    type: 'begin',
    batch: (meta?.lastBatch ?? 0) + 1,
    at: Math.max(nowMs, (meta?.lastBatchAt ?? 0) + 1),
    nextVersionId: meta?.nextVersionId ?? 1,
    position: null,
    indexNumber: 0,
    completes: false,
    settles: false,
    forgets: true,
    doubtful: true,
  };
}
