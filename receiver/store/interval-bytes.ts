import type { MomentInterval } from './interval-index.ts';
import type { Moment } from './moment.ts';

/** A content of a path: from `begun` until `ended` (null: it is still there); `bytes`: its size. */
export type ContentSpan = { begun: Moment; ended: Moment | null; bytes: number };

/**
 * How many bytes the last contents of all paths come to in each of many intervals, counted in one pass over the paths. An
 * interval whose begin lies before that of one that ends earlier is not counted: no honest agent makes such points, and
 * they would cost a look at each of them for each path.
 */
export class IntervalBytes {
  /** By `to`, `from` rising as well. */
  readonly #counted: readonly MomentInterval[];
  /** What the bytes of each interval differ by from those of the one before. */
  readonly #steps: number[];

  constructor(intervals: readonly MomentInterval[]) {
    const sorted = intervals.toSorted((a, b) => compare(a.to, b.to) || compare(a.from, b.from));
    let latest = -1n;
    this.#counted = sorted.filter(({ from }) => {
      if (from < latest) return false;
      latest = from;
      return true;
    });
    this.#steps = Array.from({ length: this.#counted.length + 1 }, () => 0);
  }

  /** All contents that are kept of one path, in the order in which they came. */
  add(contents: readonly ContentSpan[]): void {
    for (const [at, { begun, ended, bytes }] of contents.entries()) {
      const next = contents[at + 1]?.begun ?? null;
      const first = this.#countWhere(({ to }) => to < begun);
      const behind = next === null ? this.#counted.length : this.#countWhere(({ to }) => to < next);
      const gone = ended === null ? behind : this.#countWhere(({ from }) => from < ended);
      const last = Math.min(behind, gone);
      if (first >= last) continue;
      this.#steps[first] = (this.#steps[first] ?? 0) + bytes;
      this.#steps[last] = (this.#steps[last] ?? 0) - bytes;
    }
  }

  /** The bytes of each interval that was counted. */
  *totals(): Generator<{ interval: MomentInterval; bytes: number }> {
    let bytes = 0;
    for (const [at, interval] of this.#counted.entries()) {
      bytes += this.#steps[at] ?? 0;
      yield { interval, bytes };
    }
  }

  /** Of how many intervals, from the first on, it is true; it must not become true again once it was not. */
  #countWhere(holds: (interval: MomentInterval) => boolean): number {
    let [low, high] = [0, this.#counted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const interval = this.#counted[middle];
      if (interval !== undefined && holds(interval)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function compare(a: Moment, b: Moment): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
