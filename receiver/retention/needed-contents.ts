/** What was alive at `from`, or came up to `to`: of a kept restore point, in the moments of one folder. */
export type KeptInterval = { readonly from: bigint; readonly to: bigint };

/**
 * Of a path one content: it lived from `begun` until `ended` (null: it still does), and the next one that is kept of the
 * path came at `succeededAt` (null: there is none).
 */
export type ContentLife = { begun: bigint; ended: bigint | null; succeededAt: bigint | null };

/** Which contents kept restore points need: of each point and path the last one that was alive in its interval. */
export class NeededContents {
  /** By `to`, rising. */
  readonly #ends: readonly bigint[];
  /** `#lowest[k][i]`: the lowest `from` of the 2^k intervals from the i-th on. */
  readonly #lowest: readonly (readonly bigint[])[];

  constructor(intervals: readonly KeptInterval[]) {
    const sorted = intervals.toSorted((a, b) => (a.to < b.to ? -1 : a.to > b.to ? 1 : 0));
    this.#ends = sorted.map(({ to }) => to);
    const lowest: bigint[][] = [sorted.map(({ from }) => from)];
    for (let width = 2; width <= sorted.length; width *= 2) {
      const half = lowest.at(-1) ?? [];
      const next: bigint[] = [];
      for (let at = 0; at + width <= sorted.length; at += 1)
        next.push(lower(half[at] ?? 0n, half[at + width / 2] ?? 0n));
      lowest.push(next);
    }
    this.#lowest = lowest;
  }

  /** In time logarithmic in the number of points. */
  needs({ begun, ended, succeededAt }: ContentLife): boolean {
    const first = this.#endsBefore(begun);
    const behind = succeededAt === null ? this.#ends.length : this.#endsBefore(succeededAt);
    if (first >= behind) return false;
    return ended === null || this.#lowestFrom(first, behind) < ended;
  }

  /** How many intervals end before that moment. */
  #endsBefore(moment: bigint): number {
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] ?? 0n) < moment) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #lowestFrom(first: number, behind: number): bigint {
    const level = 31 - Math.clz32(behind - first);
    const row = this.#lowest[level] ?? [];
    return lower(row[first] ?? 0n, row[behind - 2 ** level] ?? 0n);
  }
}

/**
 * Where contents may have ended that were needed before and are not any more, since some points are gone: ranges
 * `(from, to]` of ends, apart from each other and rising; `to` null: without end. A content that ended behind the end of
 * the next kept point was alive there and stays.
 */
export function freedRanges(
  before: readonly KeptInterval[],
  kept: readonly KeptInterval[],
): { from: bigint; to: bigint | null }[] {
  const keys = new Set(kept.map(keyOf));
  const ends = kept.map(({ to }) => to).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const ranges = before
    .filter((interval) => !keys.has(keyOf(interval)))
    .map(({ from, to }) => ({ from, to: ends.find((end) => end >= to) ?? null }))
    .sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0));
  const merged: { from: bigint; to: bigint | null }[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last === undefined || (last.to !== null && last.to < range.from)) merged.push({ ...range });
    else if (last.to !== null) last.to = range.to === null || range.to > last.to ? range.to : last.to;
  }
  return merged;
}

function keyOf({ from, to }: KeptInterval): string {
  return `${from}-${to}`;
}

function lower(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
