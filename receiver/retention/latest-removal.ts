import { longestKeptMs, type PointRules } from './point-retention.ts';
import type { VersionRetention } from './version-retention.ts';

const [hourMs, dayMs] = [3_600_000, 86_400_000];
/** Expiry runs every hour, and a deletion is at most an hour older than the last point that includes the file. */
const slackMs = 2 * hourMs;

/**
 * When a file that is deleted at `deletedAtMs` has left a receiver at the latest, in ms since 1970, if it is not in a pinned
 * point, newer complete points keep coming, and the receiver is never switched off for longer than a day; null when the
 * rule keeps some versions for ever.
 */
export function latestRemovalMs(
  deletedAtMs: number,
  versions: VersionRetention,
  points: PointRules,
): number | null {
  const ruleMs = longestByRuleMs(versions);
  if (ruleMs === null) return null;
  return deletedAtMs + Math.max(longestKeptMs(points), ruleMs, versions.floorDays * dayMs) + slackMs;
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
