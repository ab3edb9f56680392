import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { IntervalIndex, MomentInterval } from './interval-index.ts';
import type { DamageIndex } from './damage-index.ts';
import { momentLimits, momentOf } from './moment.ts';

/** Of a folder's index: what was alive at sequence `from`, or came up to `to`; of one path the last content. */
export type SequenceInterval = { indexId: Buffer; from: number; to: number };

/**
 * What can be proved of an interval. `reached`: everything up to its end has come. `intact`: no lines of the journal were
 * lost that may have told of it. `lacking`: how many paths may have had another content than the one that is here, or one
 * where none is, or one that is here and damaged; `paths`: the first of them, in byte order.
 */
export type IntervalEvidence = {
  reached: boolean;
  intact: boolean;
  lacking: { count: number; paths: readonly RelativePath[] };
};

const lackingShownMax = 20;

/** Null of an index that was never met. */
export function momentsOf(
  intervals: IntervalIndex,
  { indexId, from, to }: SequenceInterval,
): MomentInterval | null {
  const index = intervals.byId(indexId);
  if (index === null || Math.max(from, to) > momentLimits.sequenceMax) return null;
  return { from: momentOf(index.number, from), to: momentOf(index.number, to) };
}

/** What is proved with. */
type Index = { damage: DamageIndex; intervals: IntervalIndex };

/** What the index can prove of the interval now. */
export function evidenceOf({ damage, intervals }: Index, interval: SequenceInterval): IntervalEvidence {
  const index = intervals.byId(interval.indexId);
  const moments = momentsOf(intervals, interval);
  if (index === null || moments === null)
    return { reached: false, intact: true, lacking: { count: 0, paths: [] } };
  const { settled, complete, provenFrom } = index;
  const count = intervals.countLacking(moments) + damage.countBetween(moments);
  const paths = count === 0 ? [] : lackingIn({ damage, intervals }, interval, null, lackingShownMax);
  return {
    reached: complete && settled !== null && settled >= interval.to,
    intact: provenFrom !== null && provenFrom <= interval.from,
    lacking: { count, paths },
  };
}

/** All paths that count as lacking, in byte order, after the path. */
export function lackingIn(
  { damage, intervals }: Index,
  interval: SequenceInterval,
  after: RelativePath | null,
  limit: number,
): RelativePath[] {
  const moments = momentsOf(intervals, interval);
  if (moments === null) return [];
  const missed = intervals.lacking(moments, after, limit);
  const damaged = damage.between(moments, after, limit);
  if (damaged.length === 0) return missed;
  return [...new Set([...missed, ...damaged])].sort().slice(0, limit);
}
