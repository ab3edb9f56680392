/** How many points an agent may still bring at once, and since when that was so, ms of steady time. */
export type PointRate = { left: number; atMs: number };

/** A day of hourly points may come at once, then one in ten minutes. */
const pointRateRules = { burst: 24, perHour: 6 } as const;

export function fullPointRate(steadyMs: number): PointRate {
  return { left: pointRateRules.burst, atMs: steadyMs };
}

/** The rate after one more announcement; `allowed` says whether it is within it. `steadyMs`: never goes back. */
export function countPoint(rate: PointRate, steadyMs: number): { rate: PointRate; allowed: boolean } {
  const gained = ((steadyMs - rate.atMs) * pointRateRules.perHour) / 3_600_000;
  const left = Math.min(pointRateRules.burst, rate.left + Math.max(0, gained));
  if (left < 1) return { rate: { left, atMs: steadyMs }, allowed: false };
  return { rate: { left: left - 1, atMs: steadyMs }, allowed: true };
}
