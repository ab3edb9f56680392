import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  defaultPointRules,
  expiringPoints,
  longestKeptMs,
  type PointRules,
  type RetainedPoint,
} from '../../../../receiver/retention/point-retention.ts';

const [minuteMs, hourMs, dayMs] = [60_000, 3_600_000, 86_400_000];
const start = Date.parse('2026-01-01T00:00:00Z');
const noFloors: PointRules = { ...defaultPointRules, newestComplete: 0, floorDays: 0 };

const missingMax = 3;
const anyRules: fc.Arbitrary<PointRules> = fc.record({
  hourlyDays: fc.integer({ min: 0, max: 4 }),
  dailyDays: fc.integer({ min: 0, max: 40 }),
  weeklyWeeks: fc.integer({ min: 0, max: 15 }),
  monthlyMonths: fc.integer({ min: 0, max: 14 }),
  newestComplete: fc.integer({ min: 0, max: 5 }),
  floorDays: fc.integer({ min: 0, max: 10 }),
});
const anyPoint: fc.Arbitrary<RetainedPoint> = fc.record({
  receivedAt: fc.integer({ min: 0, max: 500 * 24 }).map((halfHours) => start + halfHours * (hourMs / 2)),
  missingFiles: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: missingMax })),
  pinned: fc.boolean(),
});
const anyPoints = fc.array(anyPoint, { maxLength: 120 });
const anyNow = fc.integer({ min: 0, max: 800 }).map((day) => start + day * dayMs);

function hourly(days: number, change: Partial<RetainedPoint> = {}): RetainedPoint[] {
  return Array.from({ length: days * 24 }, (_, hour) => ({
    receivedAt: start + hour * hourMs + 40 * minuteMs,
    missingFiles: 0,
    pinned: false,
    ...change,
  }));
}

function keptOf(points: readonly RetainedPoint[], now: number, rules: PointRules): RetainedPoint[] {
  const expiring = new Set(expiringPoints(points, now, rules));
  return points.filter((point) => !expiring.has(point));
}

it('keeps hours for two days, days for thirty, weeks for twelve and months for a year', () => {
  const points = hourly(500);
  const now = start + 500 * dayMs;
  const ages = keptOf(points, now, noFloors).map(({ receivedAt }) => (now - receivedAt) / dayMs);
  expect(ages.filter((age) => age < 2)).toHaveLength(48);
  expect(ages.filter((age) => age >= 2 && age < 30)).toHaveLength(28);
  expect(ages.filter((age) => age >= 30 && age < 84).length).toBeGreaterThanOrEqual(7);
  expect(ages.filter((age) => age >= 84 && age < 365).length).toBeGreaterThanOrEqual(9);
  expect(ages.filter((age) => age > 365)).toEqual([]);
  expect(ages.length).toBeLessThanOrEqual(48 + 30 + 13 + 13);
});

it('never lets go of a pinned point, of the newest complete ones, or of one that is younger than the floor', () => {
  fc.assert(
    fc.property(anyPoints, anyNow, anyRules, (points, now, rules) => {
      const expiring = expiringPoints(points, now, rules);
      expect(expiring.filter(({ pinned }) => pinned)).toEqual([]);
      for (const { receivedAt } of expiring)
        expect(now - receivedAt).toBeGreaterThanOrEqual(rules.floorDays * dayMs);
      const complete = (all: readonly RetainedPoint[]): number =>
        all.filter(({ missingFiles }) => missingFiles === 0).length;
      const gone = new Set(expiring);
      const stays = points.filter((point) => !gone.has(point));
      expect(complete(stays)).toBeGreaterThanOrEqual(Math.min(rules.newestComplete, complete(points)));
      const oldestSpared = Math.max(
        0,
        ...expiring.filter(({ missingFiles }) => missingFiles === 0).map(({ receivedAt }) => receivedAt),
      );
      if (oldestSpared > 0) {
        const newer = stays.filter((p) => p.missingFiles === 0 && p.receivedAt >= oldestSpared);
        expect(newer.length).toBeGreaterThanOrEqual(rules.newestComplete);
      }
    }),
  );
});

it('lets go of nothing earlier than if it were followed once', () => {
  fc.assert(
    fc.property(anyPoints, fc.array(anyNow, { maxLength: 4 }), anyRules, (points, moments, rules) => {
      const times = moments.toSorted((a, b) => a - b);
      const last = times.at(-1) ?? start;
      const earlier = points.filter(({ receivedAt }) => receivedAt <= (times[0] ?? start));
      let stays: RetainedPoint[] = earlier;
      for (const now of times) stays = keptOf(stays, now, { ...rules, newestComplete: 0 });
      const atOnce = keptOf(earlier, last, { ...rules, newestComplete: 0 });
      expect(stays.filter((point) => atOnce.includes(point))).toEqual(atOnce);
    }),
  );
});

it('is not moved to let go of a kept point by any number of later ones that are no more whole', () => {
  fc.assert(
    fc.property(anyPoints, anyPoints, anyNow, anyRules, (points, flood, now, rules) => {
      const newest = Math.max(start, ...points.map(({ receivedAt }) => receivedAt));
      const later = flood.map((point) => ({
        ...point,
        receivedAt: newest + 1 + (point.receivedAt - start),
        missingFiles: missingMax + point.missingFiles,
      }));
      const alone = keptOf(points, now, rules);
      const flooded = new Set(expiringPoints([...points, ...later], now, rules));
      expect(alone.filter((point) => flooded.has(point))).toEqual([]);
    }),
  );
});

it('loses to a flood of complete points only what its own newest floor kept', () => {
  fc.assert(
    fc.property(anyPoints, anyPoints, anyNow, anyRules, (points, flood, now, rules) => {
      const strict = { ...rules, newestComplete: 0 };
      const newest = Math.max(start, ...points.map(({ receivedAt }) => receivedAt));
      const later = flood.map((point) => ({
        ...point,
        receivedAt: newest + 1 + point.receivedAt - start,
        missingFiles: 0,
      }));
      const completeKept = (kept: readonly RetainedPoint[]): RetainedPoint[] =>
        kept.filter(({ missingFiles }) => missingFiles === 0);
      const flooded = new Set(expiringPoints([...points, ...later], now, strict));
      expect(completeKept(keptOf(points, now, strict)).filter((point) => flooded.has(point))).toEqual([]);
    }),
  );
});

it('takes the first complete point of a slot, and lacking that the least incomplete one', () => {
  const at = (minutes: number, missingFiles: number): RetainedPoint => ({
    receivedAt: start + minutes * minuteMs,
    missingFiles,
    pinned: false,
  });
  const now = start + hourMs;
  const hours = { ...noFloors, dailyDays: 0, weeklyWeeks: 0, monthlyMonths: 0 };
  expect(keptOf([at(1, 9), at(2, 0), at(3, 0)], now, hours)).toEqual([at(2, 0)]);
  expect(keptOf([at(1, 9), at(2, 4), at(3, 4)], now, hours)).toEqual([at(2, 4)]);
});

it('begins a week on Monday and a month on its first day, by UTC', () => {
  const at = (receivedAt: string): RetainedPoint => ({
    receivedAt: Date.parse(receivedAt),
    missingFiles: 0,
    pinned: false,
  });
  const now = Date.parse('2026-03-20T00:00:00Z');
  const none = { ...noFloors, hourlyDays: 0, dailyDays: 0, weeklyWeeks: 0, monthlyMonths: 0 };
  const [sunday, monday, tuesday] = [
    at('2026-03-15T23:59:00Z'),
    at('2026-03-16T00:01:00Z'),
    at('2026-03-17T12:00:00Z'),
  ];
  expect(keptOf([sunday, monday, tuesday], now, { ...none, weeklyWeeks: 12 })).toEqual([sunday, monday]);
  const [february, march, later] = [
    at('2026-02-28T23:59:00Z'),
    at('2026-03-01T00:01:00Z'),
    at('2026-03-09T00:00:00Z'),
  ];
  expect(keptOf([february, march, later], now, { ...none, monthlyMonths: 12 })).toEqual([february, march]);
});

it.each<[keyof PointRules, number]>([
  ['hourlyDays', 2],
  ['dailyDays', 30],
  ['weeklyWeeks', 12 * 7],
  ['monthlyMonths', 365],
])('keeps a point for just so long by %s', (name, days) => {
  const none = { ...noFloors, hourlyDays: 0, dailyDays: 0, weeklyWeeks: 0, monthlyMonths: 0 };
  const rules = { ...none, [name]: defaultPointRules[name] };
  const point = { receivedAt: start, missingFiles: 0, pinned: false };
  expect(keptOf([point], start + days * dayMs - 1, rules)).toEqual([point]);
  expect(keptOf([point], start + days * dayMs, rules)).toEqual([]);
  // what came second does not take its place then
  const second = { ...point, receivedAt: start + minuteMs };
  expect(keptOf([point, second], start + days * dayMs, rules)).toEqual([]);
});

it('says how long a point is kept at most', () => {
  fc.assert(
    fc.property(anyPoints, anyRules, (points, rules) => {
      const unpinned = points.map((point) => ({ ...point, pinned: false }));
      const newest = Math.max(start, ...points.map(({ receivedAt }) => receivedAt));
      const strict = { ...rules, newestComplete: 0 };
      expect(keptOf(unpinned, newest + longestKeptMs(strict), strict)).toEqual([]);
    }),
  );
});
