import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IntervalBytes, type ContentSpan } from '../../../receiver/store/interval-bytes.ts';
import type { MomentInterval } from '../../../receiver/store/interval-index.ts';

const step = fc.bigInt({ min: 0n, max: 6n });
/** Contents of one path, one after the other, with or without a pause; the last one may be there still. */
const contents = fc
  .tuple(fc.array(fc.tuple(step, step, fc.nat(9)), { maxLength: 5 }), fc.boolean())
  .map(([steps, stays]): ContentSpan[] => {
    let at = 0n;
    return steps.map(([pause, length, bytes], which) => {
      const begun = (at += pause + 1n);
      const ended = (at += length + 1n);
      return { begun, ended: stays && which === steps.length - 1 ? null : ended, bytes };
    });
  });
const interval = fc
  .tuple(fc.bigInt({ min: 0n, max: 40n }), step)
  .map(([from, length]): MomentInterval => ({ from, to: from + length }));

/** By the words of the format. */
function bytesIn({ from, to }: MomentInterval, spans: readonly ContentSpan[]): number {
  const last = spans.findLast(({ begun }) => begun <= to);
  return last !== undefined && (last.ended === null || last.ended > from) ? last.bytes : 0;
}

it('counts of each interval the last content of every path', () => {
  fc.assert(
    fc.property(fc.array(interval, { maxLength: 12 }), fc.array(contents, { maxLength: 6 }), (all, paths) => {
      const counter = new IntervalBytes(all);
      for (const spans of paths) counter.add(spans);
      const totals = [...counter.totals()];
      for (const { interval: one, bytes } of totals)
        expect(bytes).toBe(paths.reduce((sum, spans) => sum + bytesIn(one, spans), 0));
      const counted = new Set(totals.map(({ interval: one }) => one));
      for (const left of all.filter((one) => !counted.has(one)))
        expect(all.some(({ from, to }) => from > left.from && to <= left.to)).toBe(true);
    }),
    { numRuns: 1000 },
  );
});
