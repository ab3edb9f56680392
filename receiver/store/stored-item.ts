import type { FileRecord, FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { LiveRow, VersionRow } from './index-rows.ts';
import type { DamageEntry, DamageKind, Holding } from './journal-entry.ts';
import type { MirrorIndex } from './mirror-index.ts';

/** Something stored, as the scrub looks at it: the live row of a path (`id` and `name` null), or a version. */
export type StoredItem = { path: RelativePath; id: number | null; name: string | null; holding: Holding };

/** The live row of a path, as an item. */
export function liveItem({ path, holding }: Pick<LiveRow, 'path' | 'holding'>): StoredItem {
  return { path, id: null, name: null, holding };
}

/** A version that has a file of its own, as an item. */
export function versionItem({ path, replaced: { id, name, holding } }: VersionRow): StoredItem {
  return { path, id, name, holding };
}

/** What the index has now of a path (`id` null) or a version; null: nothing, or no file of its own. */
export function itemAt(index: MirrorIndex, { path, id }: Pick<StoredItem, 'path' | 'id'>): StoredItem | null {
  return id === null ? liveItemAt(index, path) : versionItemAt(index, id);
}

/** What the index has live at the path now; null: nothing. */
export function liveItemAt(index: MirrorIndex, path: RelativePath): StoredItem | null {
  const row = index.live(path);
  return row === null ? null : liveItem(row);
}

/** The version that has the id now; null: none, or one without a file of its own. */
export function versionItemAt(index: MirrorIndex, id: number): StoredItem | null {
  const row = index.intervals.version(id);
  return row === null || row.replaced.name === null ? null : versionItem(row);
}

/** Null where what is stored is no file. */
export function fileOf({ state }: Holding): FileState | null {
  return state.kind === 'file' ? state : null;
}

/** What the journal says of the item: `found` null where it is whole again. `foundAt`: ms since 1970; `aside`: below `damaged/`, null where nothing was set aside. */
export function damageEntry(
  { path, id, name }: StoredItem,
  found: DamageKind | null,
  foundAt: number,
  aside: string | null,
): DamageEntry {
  return { type: 'damage', path, id, name, found, foundAt, aside, temp: null };
}

/** The record with which the file came, to ask the agent for it once more. `state`: the one of the item. */
export function recordOf({ path, holding }: StoredItem, state: FileState): FileRecord {
  return { path, sequence: holding.sequence, replaces: holding.replaces, state };
}
