const dayMs = 86_400_000;

/** `cleanoutDays`: what was replaced longer ago goes; 0: never. `floorDays`: nothing replaced within so many days goes. */
export type TrashcanRetention = { cleanoutDays: number; floorDays: number };

/**
 * Which of the versions of one path may go by Syncthing's trash can rule: only the newest one stays, for `cleanoutDays`;
 * the floor overrides it. `replacedAt`: ms by the receiver's clock.
 * @see https://docs.syncthing.net/users/versioning.html#trash-can-file-versioning
 */
export function expiringTrashcan<T extends { replacedAt: number }>(
  versions: readonly T[],
  nowMs: number,
  { cleanoutDays, floorDays }: TrashcanRetention,
): T[] {
  const newestFirst = versions.toSorted((a, b) => b.replacedAt - a.replacedAt);
  return newestFirst.filter(({ replacedAt }, position) => {
    const ageMs = nowMs - replacedAt;
    if (ageMs < floorDays * dayMs) return false;
    return position > 0 || (cleanoutDays > 0 && ageMs > cleanoutDays * dayMs);
  });
}
