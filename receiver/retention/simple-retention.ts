/** `keep`: the newest so many versions of a path always stay. `floorDays`: nothing replaced within so many days goes. */
export type SimpleRetention = { keep: number; floorDays: number };

const dayMs = 86_400_000;

/**
 * Which of the versions of one path may go: those that are neither among the `keep` newest nor younger than the floor.
 * `replacedAt` (ms, the receiver's clock) is when a version stopped being the current one.
 */
export function expiringVersions<T extends { replacedAt: number }>(
  versions: readonly T[],
  nowMs: number,
  { keep, floorDays }: SimpleRetention,
): T[] {
  const newestFirst = versions.toSorted((a, b) => b.replacedAt - a.replacedAt);
  return newestFirst.slice(keep).filter((version) => version.replacedAt <= nowMs - floorDays * dayMs);
}
