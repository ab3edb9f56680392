import { expect, it } from 'vitest';
import { latestRemovalMs } from '../../../../receiver/retention/latest-removal.ts';
import { defaultPointRules } from '../../../../receiver/retention/point-retention.ts';

const [hourMs, dayMs] = [3_600_000, 86_400_000];
const deletedAt = Date.parse('2026-01-01T00:00:00Z');
const daysUntil = (latest: number | null): number | null =>
  latest === null ? null : (latest - deletedAt - 26 * hourMs) / dayMs;

it('tells by which date a deleted file has left, or that the rule keeps some for ever', () => {
  const latest = (retention: Parameters<typeof latestRemovalMs>[1]): number | null =>
    daysUntil(latestRemovalMs(deletedAt, retention, defaultPointRules));
  expect(latest({ kind: 'points', floorDays: 7 })).toBe(365);
  expect(latest({ kind: 'simple', keep: 6, cleanoutDays: 0, floorDays: 7 })).toBeNull();
  expect(latest({ kind: 'simple', keep: 6, cleanoutDays: 30, floorDays: 7 })).toBe(365);
  expect(latest({ kind: 'simple', keep: 6, cleanoutDays: 400, floorDays: 7 })).toBe(400);
  expect(latest({ kind: 'trashcan', cleanoutDays: 3, floorDays: 380 })).toBe(380);
  expect(latest({ kind: 'staggered', maxAgeDays: 365, floorDays: 7 })).toBe(365);
  expect(latest({ kind: 'staggered', maxAgeDays: 0, floorDays: 7 })).toBeNull();
});
