/**
 * How long to wait after `failures` failed attempts in a row (1 or more): doubles from `minMs` up to `maxMs`, of which
 * a random share between a half and the whole is taken, so that devices that lost the same server do not return in step.
 * `random` is in [0, 1).
 */
export function backoffMs(
  failures: number,
  random: number,
  limits: { minMs: number; maxMs: number },
): number {
  const doublings = Math.min(Math.max(failures, 1) - 1, 52);
  const whole = Math.min(limits.minMs * 2 ** doublings, limits.maxMs);
  return Math.round(whole * (0.5 + random / 2));
}
