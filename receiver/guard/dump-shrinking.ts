import type { ShrinkRule } from './guard-rules.ts';
import { earlierDumps, usualDumpBytes, type DumpFact, type DumpHistory } from './usual-dump.ts';

export type ShrunkenDump = { dump: DumpFact; usualBytes: number };

/**
 * The smallest of the later dumps that is much smaller than its predecessors; null where none is. The first dump of an epoch
 * refers to nothing before and so is packed tightly: there only half of what the rule leaves is too small.
 */
export function shrunkenDump(
  dumps: readonly DumpFact[],
  history: DumpHistory,
  { share, bytes: least }: ShrinkRule,
): ShrunkenDump | null {
  const earlier = earlierDumps(dumps, history);
  const usualBytes = usualDumpBytes(earlier);
  if (usualBytes === null) return null;
  const epochs = new Set(earlier.flat().map(({ epoch }) => epoch));
  const isTooSmall = ({ bytes, epoch }: DumpFact): boolean => {
    const rest = epochs.has(epoch) ? 1 - share : (1 - share) / 2;
    const lacking = usualBytes - bytes;
    return lacking > 0 && lacking >= least && bytes <= rest * usualBytes;
  };
  const small = dumps.filter((dump) => dump.receivedAt > history.until && isTooSmall(dump));
  const [smallest] = small.toSorted((a, b) => a.bytes - b.bytes);
  return smallest === undefined ? null : { dump: smallest, usualBytes };
}
