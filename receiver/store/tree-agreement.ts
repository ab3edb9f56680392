import type { Disk } from '../../shared/io/disk.ts';
import type { FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { Holding } from './journal-entry.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { placeBelow, type StoreLayout } from './store-layout.ts';
import { walkTree } from './tree-walk.ts';

const rowsAtOnce = 1000;
const nsPerSecond = 1_000_000_000n;

/**
 * Whether the plain files are those that the index names, none more and none less, by their names and sizes (in `current/` of a
 * mirror folder by their times as well). Reads no content; files that are known to be damaged may be missing.
 */
export function agreesWithTrees(disk: Disk, layout: StoreLayout, index: MirrorIndex): boolean {
  return (
    !hasStrangers(disk, layout, index) && holdsLive(disk, layout, index) && holdsVersions(disk, layout, index)
  );
}

function hasStrangers(disk: Disk, layout: StoreLayout, index: MirrorIndex): boolean {
  const isLive = (path: string): boolean => index.live(path as RelativePath)?.holding.state.kind === 'file';
  for (const top of layout.scanned) {
    const base = placeBelow(layout.root, top);
    const isKnown = (path: string): boolean => {
      if (layout.current === layout.root) return isLive(`${top}/${path}`);
      return base === layout.versions ? index.isVersionName(path) : isLive(path);
    };
    for (const path of walkTree({ disk, base, isKnown }, null)) if (!isKnown(path)) return true;
  }
  return false;
}

function holdsLive(disk: Disk, layout: StoreLayout, index: MirrorIndex): boolean {
  for (let after: RelativePath | null = null; ;) {
    const rows = index.liveAfter(after, rowsAtOnce);
    for (const { path, holding } of rows) {
      const state = fileOf(holding);
      if (state === null || index.damage.get(path, null) !== null) continue;
      const stat = disk.stat(placeBelow(layout.current, path));
      if (stat?.kind !== 'file' || stat.size !== state.size) return false;
      const hasTimes = layout.current !== layout.root;
      if (hasTimes && stat.mtimeNs / nsPerSecond !== state.mtimeNs / nsPerSecond) return false;
    }
    if (rows.length < rowsAtOnce) return true;
    after = rows.at(-1)?.path ?? null;
  }
}

function holdsVersions(disk: Disk, layout: StoreLayout, index: MirrorIndex): boolean {
  for (let after = 0; ;) {
    const rows = index.intervals.versionsWithFiles(after, rowsAtOnce);
    for (const { path, replaced } of rows) {
      const { id, name, holding } = replaced;
      if (name === null || index.damage.get(path, id) !== null) continue;
      const stat = disk.stat(placeBelow(layout.versions, name));
      if (stat?.kind !== 'file' || stat.size !== fileOf(holding)?.size) return false;
    }
    const last = rows.at(-1);
    if (last === undefined) return true;
    after = last.replaced.id;
  }
}

function fileOf({ state }: Holding): FileState | null {
  return state.kind === 'file' ? state : null;
}
