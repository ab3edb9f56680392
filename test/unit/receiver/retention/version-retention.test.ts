import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expiringSimple } from '../../../../receiver/retention/simple-retention.ts';
import { expiringStaggered } from '../../../../receiver/retention/staggered-retention.ts';
import { expiringTrashcan } from '../../../../receiver/retention/trashcan-retention.ts';
import { expiringVersions, type VersionRetention } from '../../../../receiver/retention/version-retention.ts';

const [secondMs, minuteMs, hourMs, dayMs] = [1000, 60_000, 3_600_000, 86_400_000];
const now = 1_000 * dayMs;
const days = fc.integer({ min: 0, max: 40 });
const floorDays = fc.integer({ min: 0, max: 30 });
const anyRetention: fc.Arbitrary<VersionRetention> = fc.oneof(
  fc.record({
    kind: fc.constant('simple'),
    keep: fc.integer({ min: 0, max: 8 }),
    cleanoutDays: days,
    floorDays,
  }),
  fc.record({ kind: fc.constant('trashcan'), cleanoutDays: days, floorDays }),
  fc.record({ kind: fc.constant('staggered'), maxAgeDays: days, floorDays }),
  fc.record({ kind: fc.constant('points'), floorDays }),
);
const anyVersions = fc
  .array(fc.integer({ min: 0, max: 60 * dayMs }), { maxLength: 40 })
  .map((ages) => ages.map((age) => ({ replacedAt: now - age })));

/** What stays, as ages before `now`, oldest first. */
function left<T extends { replacedAt: number }>(all: readonly T[], expiring: readonly T[]): number[] {
  return all
    .filter((version) => !expiring.includes(version))
    .map(({ replacedAt }) => now - replacedAt)
    .toSorted((a, b) => b - a);
}

const aged = (...ages: number[]): { replacedAt: number }[] => ages.map((age) => ({ replacedAt: now - age }));

it('lets nothing go that is younger than the floor, under any kind', () => {
  fc.assert(
    fc.property(anyVersions, anyRetention, (versions, retention) => {
      for (const { replacedAt } of expiringVersions(versions, now, retention))
        expect(now - replacedAt).toBeGreaterThanOrEqual(retention.floorDays * dayMs);
    }),
  );
});

it('has nothing more to let go once it was followed, under any kind', () => {
  fc.assert(
    fc.property(anyVersions, anyRetention, (versions, retention) => {
      const expiring = expiringVersions(versions, now, retention);
      const stays = versions.filter((version) => !expiring.includes(version));
      expect(expiringVersions(stays, now, retention)).toEqual([]);
    }),
  );
});

it('is never moved to let go of more by versions that come later, but for the newest few', () => {
  fc.assert(
    fc.property(anyVersions, anyVersions, floorDays, (versions, flood, floor) => {
      const retention: VersionRetention = { kind: 'staggered', maxAgeDays: 0, floorDays: floor };
      const oldest = Math.max(0, ...versions.map(({ replacedAt }) => replacedAt));
      const later = flood.filter(({ replacedAt }) => replacedAt > oldest);
      const alone = expiringVersions(versions, now, retention);
      const flooded = expiringVersions([...versions, ...later], now, retention);
      expect(flooded.filter((version) => versions.includes(version))).toEqual(alone);
    }),
  );
});

describe('simple', () => {
  const cases: [string, number[], { keep: number; cleanoutDays: number }, number[]][] = [
    ['keeps five', [6, 5, 4, 3, 2, 1], { keep: 5, cleanoutDays: 0 }, [5, 4, 3, 2, 1]],
    ['keeps fewer', [2, 1], { keep: 5, cleanoutDays: 0 }, [2, 1]],
    ['keeps none', [2, 1], { keep: 0, cleanoutDays: 0 }, []],
    ['cleans out what is older', [40, 20, 1], { keep: 5, cleanoutDays: 30 }, [20, 1]],
    ['cleans out even the newest', [40], { keep: 5, cleanoutDays: 30 }, []],
    ['keeps for ever without a clean-out', [4000], { keep: 1, cleanoutDays: 0 }, [4000]],
  ];
  it.each(cases)('%s', (_name, ages, options, expected) => {
    const versions = aged(...ages.map((age) => age * dayMs));
    const expiring = expiringSimple(versions, now, { ...options, floorDays: 0 });
    expect(left(versions, expiring)).toEqual(expected.map((age) => age * dayMs));
  });
});

describe('trashcan', () => {
  const cases: [string, number[], number, number[]][] = [
    ['keeps only the newest', [3, 2, 1], 0, [1]],
    ['cleans it out when it is older', [31], 30, []],
    ['keeps it until then', [30], 30, [30]],
    ['keeps it for ever without a clean-out', [4000], 0, [4000]],
  ];
  it.each(cases)('%s', (_name, ages, cleanoutDays, expected) => {
    const versions = aged(...ages.map((age) => age * dayMs));
    const expiring = expiringTrashcan(versions, now, { cleanoutDays, floorDays: 0 });
    expect(left(versions, expiring)).toEqual(expected.map((age) => age * dayMs));
  });

  it('keeps every version that is younger than the floor beside the newest', () => {
    const versions = aged(9 * dayMs, 6 * dayMs, 5 * dayMs);
    const expiring = expiringTrashcan(versions, now, { cleanoutDays: 1, floorDays: 7 });
    expect(left(versions, expiring)).toEqual([6 * dayMs, 5 * dayMs]);
  });
});

describe('staggered', () => {
  const every = (stepMs: number, fromMs: number, toMs: number): number[] =>
    Array.from({ length: Math.floor((toMs - fromMs) / stepMs) }, (_, step) => fromMs + step * stepMs);
  const kept = (ages: number[], maxAgeDays = 365): number[] => {
    const versions = aged(...ages);
    return left(versions, expiringStaggered(versions, now, { maxAgeDays, floorDays: 0 }));
  };
  const gaps = (ages: number[]): number[] => ages.slice(1).map((age, next) => (ages[next] ?? 0) - age);

  it('keeps one for each 30 seconds of the last hour, the oldest of them', () => {
    const stays = kept(every(10 * secondMs, 0, 50 * minuteMs));
    expect(new Set(gaps(stays))).toEqual(new Set([30 * secondMs]));
    expect(stays[0]).toBe(50 * minuteMs - 10 * secondMs);
  });
  it('keeps one for each hour of the last day', () => {
    const stays = kept(every(10 * minuteMs, hourMs, 20 * hourMs));
    expect(new Set(gaps(stays))).toEqual(new Set([hourMs]));
  });
  it('keeps one for each day of the last 30 days', () => {
    const stays = kept(every(6 * hourMs, dayMs, 29 * dayMs));
    expect(new Set(gaps(stays))).toEqual(new Set([dayMs]));
  });
  it('keeps one for each week before', () => {
    const stays = kept(every(dayMs, 30 * dayMs, 300 * dayMs));
    expect(new Set(gaps(stays))).toEqual(new Set([7 * dayMs]));
  });
  it('lets everything go past the greatest age, also the last copy of a deleted file', () => {
    expect(kept([366 * dayMs])).toEqual([]);
    expect(kept([366 * dayMs], 0)).toEqual([366 * dayMs]);
  });
  it('keeps a single version until then', () => {
    expect(kept([364 * dayMs])).toEqual([364 * dayMs]);
  });
});
