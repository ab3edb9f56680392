import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  describeFuture,
  describeMoment,
  formatDuration,
  parseDuration,
} from '../../../shared/cli/duration.ts';

describe('durations', () => {
  it.each([
    ['90s', 90_000],
    ['30m', 1_800_000],
    ['6h', 21_600_000],
    ['2d', 172_800_000],
    ['1w', 604_800_000],
    ['1h30m', 5_400_000],
    ['1h 30m', 5_400_000],
    ['0.5h', 1_800_000],
  ])('reads %s', (text, expectedMs) => {
    expect(parseDuration(text)).toBe(expectedMs);
  });

  it.each(['', '6', 'h', '6 hours', '-1h', '1h-', '1e3s', '1..5h'])(
    'refuses %j as a mistake in usage',
    (text) => {
      expect(() => parseDuration(text)).toThrowError(expect.objectContaining({ code: 'USAGE' }));
    },
  );

  it('reads back whatever it writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000_000 }), (seconds) => {
        expect(parseDuration(formatDuration(seconds * 1000))).toBe(seconds * 1000);
      }),
    );
  });

  it('tells people when something was or will be', () => {
    const now = 1_700_000_000_000;
    expect(describeMoment(null, now)).toBe('never');
    expect(describeMoment(now - 500, now)).toBe('just now');
    expect(describeMoment(now - 120_000, now)).toBe('2 minutes ago');
    expect(describeMoment(now - 3 * 86_400_000, now)).toBe('3 days ago');
    expect(describeMoment(now + 6 * 3_600_000, now)).toBe('in 6 hours');
  });

  it('never says of what is to come that it just was', () => {
    const now = Date.now();
    expect(describeFuture(now + 990, now)).toBe('in 1 second');
    expect(describeFuture(now + 6 * 3_600_000, now)).toBe('in 6 hours');
    expect(describeFuture(now - 1, now)).toBe('now');
  });
});
