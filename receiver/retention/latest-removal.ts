import { longestKeptMs, type PointRules } from './point-retention.ts';
import type { VersionRetention } from './version-retention.ts';

const [hourMs, dayMs] = [3_600_000, 86_400_000];
/**
 * The deletion, and the last point that includes the file, come up to a day late where the receiver was off or the dump
 * took so long; points are made, and expiry runs, every hour.
 */
const slackMs = dayMs + 2 * hourMs;

/**
 * When a file that is deleted at `deletedAtMs` has left a receiver at the latest, in ms since 1970, if it is not in a pinned
 * point, newer complete points keep coming, and the receiver is never switched off for longer than a day; null when the
 * rule keeps some versions for ever. `deletedAtMs`: the latest of what the wall clock, the retention clock and the folder's
 * own clock say: ages are counted from there, and the retention clock, while it is behind, goes no slower than time.
 */
export function latestRemovalMs(
  deletedAtMs: number,
  versions: VersionRetention,
  points: PointRules,
): number | null {
  const ruleMs = longestByRuleMs(versions);
  if (ruleMs === null) return null;
  const longestMs = Math.max(longestKeptMs(points), ruleMs, versions.floorDays * dayMs);
  return deletedAtMs + longestMs + slackMs;
}

/** How long the rule alone keeps a version at most; null: for ever. */
function longestByRuleMs(versions: VersionRetention): number | null {
  switch (versions.kind) {
    case 'simple':
    case 'trashcan':
      return versions.cleanoutDays === 0 ? null : versions.cleanoutDays * dayMs;
    case 'staggered':
      return versions.maxAgeDays === 0 ? null : versions.maxAgeDays * dayMs;
    case 'points':
      return 0;
  }
}
