import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { IntervalIndex, MomentInterval } from './interval-index.ts';
import type { DamageIndex } from './damage-index.ts';
import { momentLimits, momentOf } from './moment.ts';

/** Of a folder's index: what was alive at sequence `from`, or came up to `to`; of one path the last content. */
export type SequenceInterval = { indexId: Buffer; from: number; to: number };

/**
 * What can be proved of an interval. `reached`: everything up to its end has come. `intact`: no lines of the journal were
 * lost that may have told of it. `lacking`: how many paths may have had another content than the one that is here, or one
 * where none is; `paths`: the first of them, in byte order.
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

/** What the index can prove of the interval now. */
export function evidenceOf(intervals: IntervalIndex, interval: SequenceInterval): IntervalEvidence {
  const index = intervals.byId(interval.indexId);
  const moments = momentsOf(intervals, interval);
  if (index === null || moments === null)
    return { reached: false, intact: true, lacking: { count: 0, paths: [] } };
  const { settled, complete, provenFrom } = index;
  return {
    reached: complete && settled !== null && settled >= interval.to,
    intact: provenFrom !== null && provenFrom <= interval.from,
    lacking: {
      count: intervals.countLacking(moments),
      paths: intervals.lacking(moments, null, lackingShownMax),
    },
  };
}

/** Of how many paths the content that the interval has is damaged, and the first of them. */
export function damagedIn(
  { damage, intervals }: { damage: DamageIndex; intervals: IntervalIndex },
  interval: SequenceInterval,
): IntervalEvidence['lacking'] {
  const moments = momentsOf(intervals, interval);
  if (moments === null) return { count: 0, paths: [] };
  return { count: damage.countBetween(moments), paths: damage.between(moments, lackingShownMax) };
}
