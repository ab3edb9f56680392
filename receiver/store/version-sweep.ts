import {
  freedRanges,
  NeededContents,
  type ContentLife,
  type KeptInterval,
} from '../retention/needed-contents.ts';
import type { KeptHistory, PointPart } from '../points/folder-evidence.ts';
import { expiringVersions, type VersionRetention } from '../retention/version-retention.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { VersionRow } from './index-rows.ts';
import { momentsOf } from './interval-evidence.ts';
import type { IntervalIndex } from './interval-index.ts';
import type { MirrorIndex } from './mirror-index.ts';
import type { SweepState } from './sweep-memory.ts';

const dayMs = 86_400_000;
const rowsAtOnce = 1000;
const everything = { from: -1n, to: null };

/** `floorDays`: what was replaced or deleted within so many days stays; `longestMs`: the longest that a point is kept without a pin. */
type SweepRules = { floorDays: number; longestMs: number };

type Sweep = {
  index: MirrorIndex;
  nowMs: number;
  rules: SweepRules;
  kept: KeptNow;
};

/** Of all points that are kept of the agent, the intervals in this folder; another array once a point came. */
type KeptNow = () => readonly KeptInterval[];

/**
 * The ids of the versions that no kept point needs any more, in pages that may be empty (so that others get a turn while
 * much is looked at), and at the end what is to be kept for the next
 * sweep. Looked at is only what came of age since the last sweep and what points needed that are gone; without a last
 * sweep (it was cut off, the database is new, the rules are others), everything. Changes nothing.
 */
export function* expiringVersionIds(sweep: Sweep): Generator<readonly number[], SweepState> {
  const { index, nowMs, rules, kept } = sweep;
  const last = index.sweep.read();
  const agedUntil = nowMs - rules.floorDays * dayMs;
  const needed = new NeededNow(kept);
  const stateAt = (until: number): SweepState => ({ ...rules, agedUntil: until, kept: needed.told() });
  const mayGo = createFilter(sweep, needed, agedUntil);
  if (last === null || last.floorDays !== rules.floorDays || last.longestMs !== rules.longestMs) {
    yield* pages((after) => index.intervals.versionsEnded(everything, after, rowsAtOnce), mayGo);
    return stateAt(agedUntil);
  }
  for (const range of freedRanges(last.kept, kept()))
    yield* pages((after) => index.intervals.versionsEnded(range, after, rowsAtOnce), mayGo);
  yield* agedPages(index, last.agedUntil, agedUntil, mayGo);
  // what nobody can place among the points waits until none can have it
  yield* agedPages(index, last.agedUntil - unplacedMs(rules), agedUntil - unplacedMs(rules), mayGo);
  return stateAt(Math.max(agedUntil, last.agedUntil));
}

function* agedPages(
  index: MirrorIndex,
  from: number,
  until: number,
  mayGo: (row: VersionRow) => boolean,
): Generator<readonly number[]> {
  let after: { replacedAt: number; id: number } = { replacedAt: from, id: Number.MAX_SAFE_INTEGER };
  for (;;) {
    const rows = index.intervals.versionsReplaced(after, until, rowsAtOnce);
    const ids = rows.filter(mayGo).map(({ replaced }) => replaced.id);
    yield ids;
    const last = rows.at(-1);
    if (last === undefined) return;
    after = { replacedAt: last.replacedAt, id: last.replaced.id };
  }
}

function* pages(
  read: (after: { ended: bigint; id: number } | null) => VersionRow[],
  mayGo: (row: VersionRow) => boolean,
): Generator<readonly number[]> {
  let after: { ended: bigint; id: number } | null = null;
  for (;;) {
    const rows = read(after);
    const ids = rows.filter(mayGo).map(({ replaced }) => replaced.id);
    yield ids;
    const last = rows.at(-1)?.replaced;
    if (last === undefined) return;
    after = { ended: last.ended, id: last.id };
  }
}

/** What kept points need, those included that come while a sweep goes on. */
class NeededNow {
  readonly #kept: KeptNow;
  readonly #told = new Map<string, KeptInterval>();
  #asked: readonly KeptInterval[] | null = null;
  #contents = new NeededContents([]);

  constructor(kept: KeptNow) {
    this.#kept = kept;
    this.needs({ begun: 0n, ended: null, succeededAt: null });
  }

  needs(life: ContentLife): boolean {
    const kept = this.#kept();
    if (kept !== this.#asked) {
      this.#asked = kept;
      this.#contents = new NeededContents(kept);
      for (const { from, to } of kept) this.#told.set(`${from}-${to}`, { from, to });
    }
    return this.#contents.needs(life);
  }

  /** All that it was ever told of. */
  told(): KeptInterval[] {
    return [...this.#told.values()];
  }
}

function createFilter(
  { index, rules }: Sweep,
  needed: NeededNow,
  agedUntil: number,
): (row: VersionRow) => boolean {
  const placedSince = index.intervals.placedSince();
  return ({ path, replacedAt, replaced: { id, ended, holding } }) => {
    if (replacedAt > agedUntil) return false;
    if (placedSince === null || ended <= placedSince) return replacedAt <= agedUntil - unplacedMs(rules);
    const succeededAt = index.intervals.succeededAt(path, holding.begun, id);
    return !needed.needs({ begun: holding.begun, ended, succeededAt });
  };
}

function unplacedMs({ floorDays, longestMs }: SweepRules): number {
  return Math.max(0, longestMs - floorDays * dayMs);
}

/** The same by one of the rules that look at each path by itself: over all versions, whatever was looked at before. */
export function* expiringByRule(
  index: MirrorIndex,
  nowMs: number,
  retention: VersionRetention,
  kept: KeptNow,
): Generator<readonly number[]> {
  const needed = new NeededNow(kept);
  let after: RelativePath | null = null;
  for (;;) {
    const rows: VersionRow[] = index.versionsAfter(after, rowsAtOnce);
    if (rows.length === 0) return;
    after = rows.at(-1)?.path ?? null;
    const ids: number[] = [];
    for (const versions of Map.groupBy(rows, ({ path }) => path).values()) {
      for (const { path, replaced } of expiringVersions(versions, nowMs, retention)) {
        const { id, ended, holding } = replaced;
        const succeededAt = index.intervals.succeededAt(path, holding.begun, id);
        if (!needed.needs({ begun: holding.begun, ended, succeededAt })) ids.push(id);
      }
    }
    yield ids;
  }
}

/** The parts that are kept at the time of the call, in moments. */
export function keptIntervalsNow(intervals: IntervalIndex, kept: Pick<KeptHistory, 'parts'>): KeptNow {
  let parts: readonly PointPart[] | null = null;
  let found: readonly KeptInterval[] = [];
  return () => {
    const now = kept.parts;
    if (now !== parts) found = keptIntervals(intervals, now);
    parts = now;
    return found;
  };
}

/** The parts in moments; those of an index that was never met need nothing that is here. */
export function keptIntervals(intervals: IntervalIndex, parts: readonly PointPart[]): KeptInterval[] {
  return parts.flatMap((part) => {
    if (part.kind !== 'mirror') return [];
    const interval = { indexId: Buffer.from(part.index, 'hex'), from: part.from, to: part.to };
    return momentsOf(intervals, interval) ?? [];
  });
}
