import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  freedRanges,
  NeededContents,
  type ContentLife,
  type KeptInterval,
} from '../../../receiver/retention/needed-contents.ts';

const moment = fc.bigInt({ min: 1n, max: 60n });
const interval = fc
  .tuple(moment, moment)
  .map(([a, b]): KeptInterval => ({ from: a < b ? a : b, to: a < b ? b : a }));
const intervals = fc.array(interval, { maxLength: 12 });
/** What comes after it came when it had ended, or later. */
const life = fc
  .tuple(
    moment,
    fc.option(fc.bigInt({ min: 1n, max: 20n }), { nil: null }),
    fc.option(fc.bigInt({ min: 0n, max: 20n }), { nil: null }),
  )
  .map(([begun, length, pause]): ContentLife => {
    const ended = length === null ? null : begun + length;
    return { begun, ended, succeededAt: ended === null || pause === null ? null : ended + pause };
  });

/** By the words of the format: the last content of the path that came up to `to` and was alive at `from` or later. */
function isIn({ from, to }: KeptInterval, { begun, ended, succeededAt }: ContentLife): boolean {
  const isLast = begun <= to && (succeededAt === null || succeededAt > to);
  return isLast && (ended === null || ended > from);
}

it('needs a content when a kept interval has it as the last one of its path', () => {
  fc.assert(
    fc.property(intervals, life, (kept, content) => {
      expect(new NeededContents(kept).needs(content)).toBe(kept.some((one) => isIn(one, content)));
    }),
    { numRuns: 2000 },
  );
});

it('needs nothing when no point is kept', () => {
  expect(new NeededContents([]).needs({ begun: 1n, ended: null, succeededAt: null })).toBe(false);
});

it('looks, after points are gone, wherever a content may have ended that only they needed', () => {
  fc.assert(
    fc.property(
      intervals,
      fc.array(fc.boolean(), { minLength: 12 }),
      intervals,
      life,
      (before, goes, added, content) => {
        const kept = [...before.filter((_, at) => goes[at] !== true), ...added];
        const { ended } = content;
        const isFreed =
          ended !== null &&
          new NeededContents(before).needs(content) &&
          !new NeededContents(kept).needs(content);
        const ranges = freedRanges(before, kept);
        if (isFreed)
          expect(ranges.some(({ from, to }) => ended > from && (to === null || ended <= to))).toBe(true);
        for (const [at, { to }] of ranges.entries()) {
          const next = ranges[at + 1];
          if (next !== undefined) expect(to !== null && to < next.from).toBe(true);
        }
      },
    ),
    { numRuns: 2000 },
  );
});

it('looks nowhere when no point is gone', () => {
  fc.assert(
    fc.property(intervals, intervals, (before, added) => {
      expect(freedRanges(before, [...added, ...before])).toEqual([]);
    }),
  );
});

it('looks only as far as the next kept point reaches', () => {
  const hours = Array.from({ length: 24 }, (_, hour) => ({
    from: BigInt(hour * 100),
    to: BigInt(hour * 100 + 10),
  }));
  const kept = hours.filter((_, hour) => hour !== 5 && hour !== 6);
  expect(freedRanges(hours, kept)).toEqual([{ from: 500n, to: 710n }]);
});
