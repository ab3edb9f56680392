import type { KeptHistory, PointPart } from '../../receiver/points/folder-evidence.ts';
import { defaultPointRules, longestKeptMs } from '../../receiver/retention/point-retention.ts';

/** No point is kept, nor anything because it is new. */
export const nothingKept: KeptHistory = keptHistory([]);

/** No point is kept, and all versions of a sealed folder are, because they are new. */
export const allVersionsKept: KeptHistory = { ...keptHistory([]), floorDays: Infinity };

/** These parts of points are kept, and nothing else because it is new. */
export function keptHistory(parts: readonly PointPart[]): KeptHistory {
  return { parts, longestMs: longestKeptMs(defaultPointRules), newestComplete: 1, floorDays: 0 };
}
