import type { LiveRow, VersionRow } from './index-rows.ts';
import type { StoredEntry } from './mirror-store.ts';

/** A live row as an entry. */
export function liveEntry({ path, holding: { state, sequence, receivedAt, begun } }: LiveRow): StoredEntry {
  return { path, state, sequence, receivedAt, replacedAt: null, begun, ended: null };
}

/** A replaced or deleted row as an entry. */
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
