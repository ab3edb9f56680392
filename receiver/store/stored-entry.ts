import type { FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { LiveRow, VersionRow } from './index-rows.ts';
import type { LiveState } from './journal-entry.ts';
import type { Moment } from './moment.ts';

/** A live record as stored. `receivedAt` (ms, the receiver's clock): when this content arrived. */
export type StoredFile = { record: FileRecord; indexId: Buffer; receivedAt: number };

/** A replaced or deleted state. `name`: its file below `versions/` (byte string); null where it has no bytes. */
export type StoredVersion = StoredEntry & { id: number; name: string | null; replacedAt: number };

/**
 * A state that was alive from `receivedAt` until `replacedAt` (null: it still is); ms, the receiver's clock. By the agent's
 * own order: from `begun` until `ended`.
 */
export type StoredEntry = {
  path: RelativePath;
  state: LiveState;
  sequence: number;
  receivedAt: number;
  replacedAt: number | null;
  begun: Moment;
  ended: Moment | null;
};

export function storedEntry(row: LiveRow | VersionRow): StoredEntry {
  return 'replaced' in row ? versionEntry(row) : liveEntry(row);
}

function liveEntry({ path, holding: { state, sequence, receivedAt, begun } }: LiveRow): StoredEntry {
  return { path, state, sequence, receivedAt, replacedAt: null, begun, ended: null };
}

export function versionEntry({ path, replaced: { holding, ended }, replacedAt }: VersionRow): StoredEntry {
  return {
    path,
    state: holding.state,
    sequence: holding.sequence,
    receivedAt: holding.receivedAt,
    replacedAt,
    begun: holding.begun,
    ended,
  };
}
