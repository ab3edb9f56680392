import fc from 'fast-check';
import { expect, it } from 'vitest';
import { expiringVersions } from '../../receiver/retention/simple-retention.ts';

const dayMs = 86_400_000;
const times = fc.array(fc.integer({ min: 0, max: 100 * dayMs }), { maxLength: 30 });
const rule = fc.record({ keep: fc.integer({ min: 0, max: 8 }), floorDays: fc.integer({ min: 0, max: 30 }) });

it('lets nothing go that is younger than the floor or among the newest', () => {
  fc.assert(
    fc.property(
      times,
      fc.integer({ min: 0, max: 100 * dayMs }),
      rule,
      (replacedTimes, now, { keep, floorDays }) => {
        const versions = replacedTimes.map((replacedAt) => ({ replacedAt }));
        const expiring = expiringVersions(versions, now, { keep, floorDays });
        for (const version of expiring)
          expect(now - version.replacedAt).toBeGreaterThanOrEqual(floorDays * dayMs);
        const kept = versions.filter((version) => !expiring.includes(version));
        expect(kept.length).toBeGreaterThanOrEqual(Math.min(keep, versions.length));
        for (const version of expiring) {
          expect(
            kept.filter((other) => other.replacedAt >= version.replacedAt).length,
          ).toBeGreaterThanOrEqual(keep);
        }
      },
    ),
  );
});

it('keeps no version that is older than the floor beyond the newest', () => {
  fc.assert(
    fc.property(times, rule, (replacedTimes, { keep, floorDays }) => {
      const versions = replacedTimes.map((replacedAt) => ({ replacedAt }));
      const expiring = expiringVersions(versions, 1000 * dayMs, { keep, floorDays });
      expect(expiring.length).toBe(Math.max(0, versions.length - keep));
    }),
  );
});

it('has nothing more to let go once it was followed', () => {
  fc.assert(
    fc.property(times, rule, (replacedTimes, options) => {
      const versions = replacedTimes.map((replacedAt) => ({ replacedAt }));
      const expiring = expiringVersions(versions, 100 * dayMs, options);
      const left = versions.filter((version) => !expiring.includes(version));
      expect(expiringVersions(left, 100 * dayMs, options)).toEqual([]);
    }),
  );
});
