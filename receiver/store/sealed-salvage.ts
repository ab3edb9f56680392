import type { Disk } from '../../shared/io/disk.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { parseSealedObjectName } from '../../shared/sealing/object-name.ts';
import type { ChangeEntry } from './journal-entry.ts';
import { yieldToOthers } from './journal.ts';
import type { MirrorIndex } from './mirror-index.ts';
import type { StoreDeps } from './open-store.ts';
import { plainFileState } from './plain-file-state.ts';
import { salvageBegin, unknownIndexId, unknownMark } from './salvage-begin.ts';
import { placeBelow, type StoreLayout } from './store-layout.ts';

const changesAtOnce = 1000;

/** Paths of the files in `packs/` and `versions/` that have the name of an object. */
export function* sealedObjects(disk: Disk, layout: StoreLayout): Generator<RelativePath> {
  for (const directory of layout.standing) {
    for (const name of disk.list(placeBelow(layout.current, directory))) {
      const path = `${directory}/${name}`;
      if (parseSealedObjectName(path) !== null) yield path as RelativePath;
    }
  }
}

/**
 * Makes the index agree with the plain files after journal lines were lost: objects in no row get one (a pack whose
 * bytes are not what its name says gets none), rows without a file go. The position is dropped, so that the agent names
 * everything again. Only the index changes; the caller writes the journal.
 */
export async function salvageSealed(
  { disk, logger, now }: StoreDeps,
  layout: StoreLayout,
  index: MirrorIndex,
): Promise<void> {
  const begin = salvageBegin(index, now());
  let counted = 0;
  const apply = (changes: ChangeEntry[]): void => {
    counted += changes.filter(({ type }) => type !== 'expire').length;
    index.apply(begin, changes, [], unknownMark);
  };
  apply([]);
  const found = new Set(sealedObjects(disk, layout));
  const lost = [...rowsWithout(index, found)];
  for (let at = 0; at < lost.length; at += changesAtOnce) apply(lost.slice(at, at + changesAtOnce));
  for (const path of found) {
    if (index.live(path) !== null) continue;
    const place = placeBelow(layout.current, path);
    const state = plainFileState(disk, place);
    const name = parseSealedObjectName(path);
    if (state === null || (name?.kind === 'pack' && !name.hash.equals(state.hash))) {
      logger.warn({ path }, 'a damaged object of a sealed folder is left out');
      continue;
    }
    const receivedAt = arrivedAt(disk, place, begin.at);
    const holding = {
      state,
      indexId: unknownIndexId,
      sequence: 0,
      replaces: null,
      receivedAt,
      begun: 0n,
    };
    apply([{ type: 'set', path, holding, namedIn: unknownIndexId, temp: null, replaced: null }]);
    await yieldToOthers();
  }
  logger.warn({ changes: counted }, 'what the damaged journal lost was taken from the plain files');

  function* rowsWithout(rows: MirrorIndex, files: ReadonlySet<RelativePath>): Generator<ChangeEntry> {
    for (let after: RelativePath | null = null; ;) {
      const page = rows.liveAfter(after, changesAtOnce);
      for (const { path, holding } of page) {
        if (files.has(path)) continue;
        const id = begin.nextVersionId;
        begin.nextVersionId += 1;
        yield { type: 'remove', path, replaced: { id, name: null, holding, ended: 0n } };
        yield { type: 'expire', path, id, name: null };
      }
      if (page.length < changesAtOnce) return;
      after = page.at(-1)?.path ?? null;
    }
  }
}

/** When the file got its name, ms; where the tree was copied since, the time of the copying. */
function arrivedAt(disk: Disk, place: string, nowMs: number): number {
  const stat = disk.stat(place);
  return stat === null ? nowMs : Math.min(nowMs, Number(stat.ctimeNs / 1_000_000n));
}
