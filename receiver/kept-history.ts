import type { KeptHistory, PointPart } from './points/folder-evidence.ts';
import type { HeldPoint } from './points/point-book.ts';
import { longestKeptMs, type PointRules } from './retention/point-retention.ts';

/** What those points and the rules keep of a folder. */
export function keptHistory(points: readonly HeldPoint[], folder: string, rules: PointRules): KeptHistory {
  const { newestComplete, floorDays } = rules;
  const parts = points.flatMap(({ record }): PointPart[] => record.folders.filter(({ id }) => id === folder));
  return { parts, longestMs: longestKeptMs(rules), newestComplete, floorDays };
}
