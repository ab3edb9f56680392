const [hourMs, dayMs] = [3_600_000, 86_400_000];

/**
 * What a rule needs to know of a restore point. `receivedAt`: ms by the receiver's retention clock, whatever the sender
 * wrote into it. `missingFiles`: 0 when it is complete.
 */
export type RetainedPoint = { receivedAt: number; missingFiles: number; pinned: boolean };

/**
 * One point is kept for each hour of the last `hourlyDays` days, each day of `dailyDays`, each week (from Monday, UTC) of
 * `weeklyWeeks`, each month of `monthlyMonths` times 365/12 days. The newest `newestComplete` complete points and whatever
 * is younger than `floorDays` days always stay.
 */
export type PointRules = {
  hourlyDays: number;
  dailyDays: number;
  weeklyWeeks: number;
  monthlyMonths: number;
  newestComplete: number;
  floorDays: number;
};

export const defaultPointRules: PointRules = {
  hourlyDays: 2,
  dailyDays: 30,
  weeklyWeeks: 12,
  monthlyMonths: 12,
  newestComplete: 3,
  floorDays: 7,
};

/**
 * Which points may go. Of a slot the first complete one received stays, or lacking that the least incomplete one (of
 * several the first), so that no later point can take the place of a complete one, nor one that lacks as much the place
 * of an incomplete one. `points` in any order; of equal times the order given decides.
 */
export function expiringPoints<T extends RetainedPoint>(
  points: readonly T[],
  nowMs: number,
  rules: PointRules,
): T[] {
  const inOrder = points.toSorted((a, b) => a.receivedAt - b.receivedAt);
  const kept = new Set<T>(inOrder.filter(({ pinned }) => pinned));
  for (const point of inOrder) if (point.receivedAt > nowMs - rules.floorDays * dayMs) kept.add(point);
  const complete = inOrder.filter(({ missingFiles }) => missingFiles === 0);
  for (const point of complete.slice(Math.max(0, complete.length - rules.newestComplete))) kept.add(point);
  for (const { windowMs, slotOf } of tiers(rules)) {
    const winners = new Map<number, T>();
    for (const point of inOrder) {
      const slot = slotOf(point.receivedAt);
      const winner = winners.get(slot);
      if (winner === undefined || point.missingFiles < winner.missingFiles) winners.set(slot, point);
    }
    // The winner of a slot that the window leaves is not succeeded by a later point of the slot.
    for (const winner of winners.values()) if (winner.receivedAt > nowMs - windowMs) kept.add(winner);
  }
  return inOrder.filter((point) => !kept.has(point));
}

/** How long a point can be kept by these rules at most, without a pin and while newer complete points come. */
export function longestKeptMs(rules: PointRules): number {
  return Math.max(rules.floorDays * dayMs, ...tiers(rules).map(({ windowMs }) => windowMs));
}

function tiers(rules: PointRules): { windowMs: number; slotOf: (at: number) => number }[] {
  return [
    { windowMs: rules.hourlyDays * dayMs, slotOf: (at) => Math.floor(at / hourMs) },
    { windowMs: rules.dailyDays * dayMs, slotOf: (at) => Math.floor(at / dayMs) },
    // 1970 began on a Thursday.
    { windowMs: rules.weeklyWeeks * 7 * dayMs, slotOf: (at) => Math.floor((at + 3 * dayMs) / (7 * dayMs)) },
    { windowMs: (rules.monthlyMonths * 365 * dayMs) / 12, slotOf: monthOf },
  ];
}

function monthOf(at: number): number {
  const date = new Date(at);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}
