/** What the settle rule looks at; `ctimeNs` is null where it cannot be trusted (network file systems). */
export type SettleLook = {
  size: number;
  mtimeNs: bigint;
  ctimeNs: bigint | null;
  /** Wall clock of the look. */
  nowMs: number;
  /** How long the same signature has been seen, by looks of this program; 0 at the first. */
  stillForMs: number;
};

export type SettleVerdict = { ready: true } | { ready: false; lookAgainInMs: number };

const smallBytesMax = 1024 * 1024;
const smallStillnessMs = 300;
const largeStillnessMs = 2000;

/**
 * Whether a file has been left alone long enough to be read: 300 ms up to 1 MiB, 2 s above. Its times say so, or, where
 * they lie in the future, the looks at it. A change after the reading then gets other times than those recorded;
 * times in whole seconds (old or foreign file systems) need 2 s for that.
 */
export function settle(look: SettleLook): SettleVerdict {
  const newestNs = look.ctimeNs === null || look.mtimeNs > look.ctimeNs ? look.mtimeNs : look.ctimeNs;
  const coarse = newestNs % 1_000_000_000n === 0n;
  const stillnessMs = look.size > smallBytesMax || coarse ? largeStillnessMs : smallStillnessMs;
  const ageMs = look.nowMs - Number(newestNs / 1_000_000n);
  if (ageMs > stillnessMs || look.stillForMs >= stillnessMs) return { ready: true };
  const byAge = ageMs < 0 ? stillnessMs : stillnessMs - ageMs + 1;
  return { ready: false, lookAgainInMs: Math.min(byAge, stillnessMs - look.stillForMs) };
}
