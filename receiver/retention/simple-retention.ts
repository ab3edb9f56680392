const dayMs = 86_400_000;

/**
 * `keep`: the newest so many versions of a path stay, for `cleanoutDays` (0: for ever). `floorDays`: nothing replaced
 * within so many days goes.
 */
export type SimpleRetention = { keep: number; cleanoutDays: number; floorDays: number };

/**
 * Which of the versions of one path may go by Syncthing's simple rule; the floor overrides it. `replacedAt` (ms, the
 * receiver's clock) is when a version stopped being the current one.
 * @see https://docs.syncthing.net/users/versioning.html#simple-file-versioning
 */
export function expiringSimple<T extends { replacedAt: number }>(
  versions: readonly T[],
  nowMs: number,
  { keep, cleanoutDays, floorDays }: SimpleRetention,
): T[] {
  const newestFirst = versions.toSorted((a, b) => b.replacedAt - a.replacedAt);
  return newestFirst.filter(({ replacedAt }, position) => {
    const ageMs = nowMs - replacedAt;
    if (ageMs < floorDays * dayMs) return false;
    return position >= keep || (cleanoutDays > 0 && ageMs > cleanoutDays * dayMs);
  });
}
