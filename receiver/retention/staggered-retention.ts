const [secondMs, hourMs, dayMs] = [1000, 3_600_000, 86_400_000];

/** `maxAgeDays`: what is older goes altogether; 0: never. `floorDays`: nothing replaced within so many days goes. */
export type StaggeredRetention = { maxAgeDays: number; floorDays: number };

/**
 * Which of the versions of one path may go by Syncthing's staggered rule: one stays for each 30 seconds of the last hour,
 * each hour of the last day, each day of the last 30 days and each week before, the oldest of each; the floor overrides it.
 * `replacedAt`: ms by the receiver's clock.
 * @see https://docs.syncthing.net/users/versioning.html#staggered-file-versioning
 */
export function expiringStaggered<T extends { replacedAt: number }>(
  versions: readonly T[],
  nowMs: number,
  { maxAgeDays, floorDays }: StaggeredRetention,
): T[] {
  const expiring: T[] = [];
  let keptAgeMs: number | null = null;
  for (const version of versions.toSorted((a, b) => a.replacedAt - b.replacedAt)) {
    const ageMs = nowMs - version.replacedAt;
    if (ageMs < floorDays * dayMs) break;
    const tooOld = maxAgeDays > 0 && ageMs > maxAgeDays * dayMs;
    if (tooOld || (keptAgeMs !== null && keptAgeMs - ageMs < stepMs(ageMs))) expiring.push(version);
    else keptAgeMs = ageMs;
  }
  return expiring;
}

function stepMs(ageMs: number): number {
  if (ageMs < hourMs) return 30 * secondMs;
  if (ageMs < dayMs) return hourMs;
  return ageMs < 30 * dayMs ? dayMs : 7 * dayMs;
}
