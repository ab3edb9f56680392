const dayMs = 86_400_000;

/**
 * The time by which ages are counted, in ms since 1970. It follows the wall clock and never goes back; it catches up at
 * twice the pace of steady time at most, so that a wall clock set a year ahead lets next to nothing expire.
 */
export type RetentionClock = { readonly nowMs: number };

/** How far the wall clock is from the retention clock: `ahead` after a jump forward or a long time switched off. */
export type ClockGap = { direction: 'ahead' | 'behind'; gapMs: number };

/**
 * The clock after a stretch of running. `steadyElapsedMs`: by the monotonic clock since the last call, not negative.
 * @param clock null on the first start ever: the wall clock is believed once
 */
export function advanceClock(
  clock: RetentionClock | null,
  wallMs: number,
  steadyElapsedMs: number,
): RetentionClock {
  if (clock === null) return { nowMs: wallMs };
  return { nowMs: Math.max(clock.nowMs, Math.min(wallMs, clock.nowMs + 2 * steadyElapsedMs)) };
}

/** The clock after a start: the time since it was last stored counts as one day of steady time at most. */
export function resumeClock(clock: RetentionClock | null, wallMs: number): RetentionClock {
  if (clock === null) return { nowMs: wallMs };
  return advanceClock(clock, wallMs, Math.min(Math.max(0, wallMs - clock.nowMs), dayMs));
}

/** Null while both agree to a day. */
export function clockGap(clock: RetentionClock, wallMs: number): ClockGap | null {
  const gapMs = Math.abs(wallMs - clock.nowMs);
  if (gapMs <= dayMs) return null;
  return { direction: wallMs > clock.nowMs ? 'ahead' : 'behind', gapMs };
}
