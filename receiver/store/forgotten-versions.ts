import type { ForgottenHistory, KeptHistory, PointPart } from '../points/folder-evidence.ts';
import { freedRanges, NeededContents } from '../retention/needed-contents.ts';
import { expiringVersions, type VersionRetention } from '../retention/version-retention.ts';
import type { VersionRow } from './index-rows.ts';
import { sizeOf } from './journal-entry.ts';
import { yieldToOthers } from './journal.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { keptIntervals } from './version-sweep.ts';

const rowsAtOnce = 1000;

type Asked = {
  index: MirrorIndex;
  nowMs: number;
  retention: VersionRetention;
  /** Of points that the owner has forgotten, what they say of this folder. */
  forgotten: readonly PointPart[];
  kept: KeptHistory;
};

/**
 * The versions that forgotten points needed and that nothing needs now, in pages that may be empty: no kept point and, where the folder has
 * a rule beside the points, not that rule. The floor by age does not hold them: the owner has spoken. What cannot be
 * placed among points stays. Costs what ended in or behind the forgotten points; changes nothing.
 */
export function* forgottenVersions(asked: Asked): Generator<readonly VersionRow[]> {
  const { index, kept } = asked;
  const gone = keptIntervals(index.intervals, asked.forgotten);
  const still = keptIntervals(index.intervals, kept.parts);
  const [wasNeeded, isNeeded] = [new NeededContents(gone), new NeededContents(still)];
  const placedSince = index.intervals.placedSince();
  if (placedSince === null) return;
  for (const range of freedRanges([...gone, ...still], still)) {
    for (const rows of pagesEnded(index, range)) {
      const going = rows.filter((row) => {
        const { path, replaced } = row;
        const { id, ended, holding } = replaced;
        if (ended <= placedSince) return false;
        const succeededAt = index.intervals.succeededAt(path, holding.begun, id);
        const life = { begun: holding.begun, ended, succeededAt };
        return wasNeeded.needs(life) && !isNeeded.needs(life) && !isHeldByRule(asked, row);
      });
      yield going;
    }
  }
}

function* pagesEnded(
  index: MirrorIndex,
  range: { from: bigint; to: bigint | null },
): Generator<readonly VersionRow[]> {
  let after: { ended: bigint; id: number } | null = null;
  for (;;) {
    const rows: VersionRow[] = index.intervals.versionsEnded(range, after, rowsAtOnce);
    if (rows.length > 0) yield rows;
    const last = rows.at(-1)?.replaced;
    if (last === undefined) return;
    after = { ended: last.ended, id: last.id };
  }
}

/** Whether one of the rules that look at each path by itself would keep it, were it of any age. */
function isHeldByRule({ index, nowMs, retention }: Asked, { path, replaced }: VersionRow): boolean {
  if (retention.kind === 'points') return false;
  const expiring = expiringVersions(index.versionsOf(path), nowMs, { ...retention, floorDays: 0 });
  return expiring.every((row) => row.replaced.id !== replaced.id);
}

/** What is in the pages. */
export function countForgotten(pages: Iterable<readonly VersionRow[]>): ForgottenHistory {
  const found = { versions: 0, bytes: 0 };
  for (const rows of pages) {
    found.versions += rows.length;
    found.bytes += rows.reduce((sum, row) => sum + sizeOf(row.replaced.holding), 0);
  }
  return found;
}

/** Removes what is in the pages, each before the next one is looked for; `remove` takes ids. */
export async function removeForgotten(
  pages: Iterable<readonly VersionRow[]>,
  remove: (ids: readonly number[]) => Promise<ForgottenHistory>,
): Promise<ForgottenHistory> {
  const removed = { versions: 0, bytes: 0 };
  for (const rows of pages) {
    const { versions, bytes } = await remove(rows.map(({ replaced }) => replaced.id));
    removed.versions += versions;
    removed.bytes += bytes;
    await yieldToOthers();
  }
  return removed;
}
