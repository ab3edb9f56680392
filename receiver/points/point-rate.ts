/** How many points an agent may still bring at once, and since when that was so, ms of steady time. */
export type PointRate = { left: number; atMs: number };

/** A day of hourly points may come at once, then one in ten minutes. */
const pointRateRules = { burst: 24, perHour: 6 } as const;

export function fullPointRate(steadyMs: number): PointRate {
  return { left: pointRateRules.burst, atMs: steadyMs };
}

/**
 * The rate after a start, so that a restart gives no new burst. `receivedAt`: of the points that are held, and `nowMs`: both by
 * the retention clock; what was received later than that counts as received then.
 */
export function resumedPointRate(receivedAt: readonly number[], nowMs: number, steadyMs: number): PointRate {
  const sinceMs = (at: number): number => steadyMs - Math.max(0, nowMs - at);
  const [first = nowMs, ...more] = receivedAt.toSorted((a, b) => a - b);
  let rate = fullPointRate(sinceMs(first));
  if (receivedAt.length > 0) for (const at of [first, ...more]) rate = countPoint(rate, sinceMs(at)).rate;
  return rate;
}

/** The rate after one more announcement; `allowed` says whether it is within it. `steadyMs`: never goes back. */
export function countPoint(rate: PointRate, steadyMs: number): { rate: PointRate; allowed: boolean } {
  const gained = ((steadyMs - rate.atMs) * pointRateRules.perHour) / 3_600_000;
  const left = Math.min(pointRateRules.burst, rate.left + Math.max(0, gained));
  if (left < 1) return { rate: { left, atMs: steadyMs }, allowed: false };
  return { rate: { left: left - 1, atMs: steadyMs }, allowed: true };
}
