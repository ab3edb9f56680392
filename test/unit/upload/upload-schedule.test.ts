import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseTypedDeviceId } from '../../../shared/identity/device-id.ts';
import { parseDeviceId } from '../../../shared/identity/device-id.ts';
import {
  formatPeriod,
  holdsAt,
  localMinuteOfDay,
  overlaps,
  uploadRatesAt,
  type UploadPeriod,
} from '../../../agent/upload/upload-schedule.ts';

const nas = parseDeviceId('GU77MKD-5E7SBZF-CEQDU57-IAKI47O-VFV4WZM-EFFAQGA-SSHTHTJ-HMCYJQM');
const named = (rate: number | null) => [{ device: parseTypedDeviceId('GU77MKD'), rate }];
const period = (from: number, to: number, rest: Partial<UploadPeriod> = {}): UploadPeriod => ({
  from: from * 60,
  to: to * 60,
  total: undefined,
  perReceiver: undefined,
  receivers: [],
  ...rest,
});
const config = (...schedule: UploadPeriod[]) => ({ total: 1000, perReceiver: 500, receivers: [], schedule });
const totalAt = (at: number, ...schedule: UploadPeriod[]) =>
  uploadRatesAt(config(...schedule), at * 60).total;

it('holds from its first minute up to, not including, its last', () => {
  const day = period(8, 23, { total: 100 });
  expect([7.99, 8, 22.98, 23].map((at) => totalAt(at, day))).toEqual([1000, 100, 100, 1000]);
  expect([0, 23.98].map((at) => totalAt(at, period(0, 24, { total: 100 })))).toEqual([100, 100]);
});

it('goes over midnight where it ends earlier than it begins', () => {
  const night = period(22, 6, { total: null });
  expect([21.98, 22, 23.98, 0, 5.98, 6].map((at) => totalAt(at, night))).toEqual([
    1000,
    null,
    null,
    null,
    null,
    1000,
  ]);
  expect(totalAt(0, period(22, 0, { total: 100 }))).toBe(1000);
});

it('leaves what a period does not name as it is outside', () => {
  const rates = uploadRatesAt(config(period(8, 23, { total: 100 })), 9 * 60);
  expect([rates.total, rates.ofReceiver(nas)]).toEqual([100, 500]);
  expect(formatPeriod(rates.period ?? period(0, 1))).toBe('08:00-23:00');
});

it('takes for a receiver what is said of it in the period, then of all in the period, then of it, then of all', () => {
  const base = { total: null, perReceiver: 500 };
  const rateOf = (receivers: UploadPeriod['receivers'], ...schedule: UploadPeriod[]) =>
    uploadRatesAt({ ...base, receivers, schedule }, 600).ofReceiver(nas);
  expect(rateOf(named(40), period(8, 23, { perReceiver: 30, receivers: named(20) }))).toBe(20);
  expect(rateOf(named(40), period(8, 23, { perReceiver: 30 }))).toBe(30);
  expect(rateOf(named(40), period(8, 23, { perReceiver: null }))).toBe(null);
  expect(rateOf(named(40), period(8, 23, { total: 9 }))).toBe(40);
  expect(rateOf(named(null))).toBe(null);
  expect(rateOf([])).toBe(500);
});

it('says that periods overlap exactly where they have a minute in common', () => {
  const minute = fc.integer({ min: 0, max: 1439 });
  const hours = fc.record({ from: minute, to: minute }).filter(({ from, to }) => from !== to);
  fc.assert(
    fc.property(hours, hours, (one, other) => {
      const shared = Array.from({ length: 1440 }, (_, at) => at).some(
        (at) => holdsAt(one, at) && holdsAt(other, at),
      );
      expect(overlaps(one, other)).toBe(shared);
    }),
    { numRuns: 300 },
  );
});

it('goes by the clock on the wall when that is changed in spring and autumn', () => {
  const zone = process.env['TZ'];
  process.env['TZ'] = 'Europe/Berlin';
  try {
    const at = (text: string): string => {
      const minute = localMinuteOfDay(Date.parse(text));
      return `${Math.floor(minute / 60)}:${minute % 60}`;
    };
    expect(['2026-03-29T00:59:30Z', '2026-03-29T01:00:00Z'].map(at)).toEqual(['1:59', '3:0']);
    expect(['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z'].map(at)).toEqual(['2:30', '2:30']);
  } finally {
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
  }
});
