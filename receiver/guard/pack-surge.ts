import type { SurgeRule } from './guard-rules.ts';
import { medianOf } from './median.ts';

/**
 * Bytes of packs of a sealed folder. `received`: within the window that is judged; `earlier`: in the windows before it, those left
 * out in which nothing came, the latest first.
 */
export type PackArrivals = { received: number; earlier: readonly number[] };

export type PackSurge = { received: number; usualBytes: number };

const windowsLeast = 3;
const windowsMax = 14;

/**
 * Far more came than usually does, and more than dumps from scratch can explain; else null. As long as packs came in fewer than
 * three windows before, or no dump is known whole, nothing is usual.
 */
export function packSurge(
  { received, earlier }: PackArrivals,
  usualDumpBytes: number | null,
  { times, dumps, bytes }: SurgeRule,
): PackSurge | null {
  if (usualDumpBytes === null || earlier.length < windowsLeast) return null;
  const usualBytes = medianOf(earlier.slice(0, windowsMax)) ?? 0;
  const isSurge =
    received > 0 && received >= bytes && received > dumps * usualDumpBytes && received > times * usualBytes;
  return isSurge ? { received, usualBytes } : null;
}
