import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { formatMoment, parseMoment } from '../../../agent/restore/moment.ts';

// Half an hour beside everybody: what is local time shows.
const zone = process.env['TZ'];
process.env['TZ'] = 'Asia/Kolkata';
afterAll(() => {
  // other files run in this process
  if (zone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zone;
});

const now = new Date(2026, 10, 21, 9, 30, 15).getTime();
const local = (...parts: [number, number, number, number?, number?, number?, number?]): number =>
  new Date(parts[0], parts[1] - 1, ...(parts.slice(2) as [number])).getTime();

it.each([
  ['2026-11-20', local(2026, 11, 20)],
  ['2026-11-20T14:00', local(2026, 11, 20, 14)],
  ['2026-11-20 14:00:07', local(2026, 11, 20, 14, 0, 7)],
  ['2026-11-20T14:00:07.25', local(2026, 11, 20, 14, 0, 7, 250)],
  ['2026-11-20T14:00:07.123456789Z', Date.UTC(2026, 10, 20, 14, 0, 7, 123)],
  ['20:00', null],
  ['2026-11-20T14:00Z', Date.UTC(2026, 10, 20, 14)],
  ['2026-11-20T14:00 UTC', Date.UTC(2026, 10, 20, 14)],
  ['2026-11-20T14:00+01:00', Date.UTC(2026, 10, 20, 13)],
  ['2026-11-20T14:00-0530', Date.UTC(2026, 10, 20, 19, 30)],
  ['2026-11-20T14:00+01', Date.UTC(2026, 10, 20, 13)],
  ['2026-11-20T14:00:07,5Z', Date.UTC(2026, 10, 20, 14, 0, 7, 500)],
  ['2026-11-20T14', local(2026, 11, 20, 14)],
  ['2026-11-20Z', Date.UTC(2026, 10, 20)],
  ['20261120', local(2026, 11, 20)],
  ['20261120T1400', local(2026, 11, 20, 14)],
  ['20261120T140007Z', Date.UTC(2026, 10, 20, 14, 0, 7)],
  ['20261120T14+0100', Date.UTC(2026, 10, 20, 13)],
  ['20261120-140007', Date.UTC(2026, 10, 20, 14, 0, 7)],
  ['~20261120-140007', Date.UTC(2026, 10, 20, 14, 0, 7)],
  ['@1790000000', 1_790_000_000_000],
  ['2 hours ago', now - 7_200_000],
  ['  2  Hours  AGO ', now - 7_200_000],
  ['an hour ago', now - 3_600_000],
  ['90s ago', now - 90_000],
  ['1.5 days ago', now - 129_600_000],
  ['1 day and 6 hours ago', now - 108_000_000],
  ['1 day, 6 hours ago', now - 108_000_000],
  ['1d 6h 5min ago', now - 108_300_000],
  ['1 month ago', local(2026, 10, 21, 9, 30, 15)],
  ['a year ago', local(2025, 11, 21, 9, 30, 15)],
  ['yesterday', local(2026, 11, 20)],
  ['yesterday 14:00', local(2026, 11, 20, 14)],
  ['yesterday at 4:05:06', local(2026, 11, 20, 4, 5, 6)],
  ['today', local(2026, 11, 21)],
  ['today 08:00', local(2026, 11, 21, 8)],
  ['08:00', local(2026, 11, 21, 8)],
])('reads %j', (text, expected) => {
  if (expected === null) expect(() => parseMoment(text, now)).toThrow(/in the future/);
  else expect(parseMoment(text, now)).toBe(expected);
});

it.each(['latest', 'now', 'LATEST'])('takes %j as the newest state', (text) => {
  expect(parseMoment(text, now)).toBeNull();
});

it('ends a month ago on the last day of a shorter month', () => {
  expect(parseMoment('1 month ago', local(2026, 3, 31, 12))).toBe(local(2026, 2, 28, 12));
});

it.each([
  '',
  'ago',
  'soon',
  '2 hours',
  '2 parsecs ago',
  '2 hours ago ago',
  'ago 2 hours',
  '2026-02-30',
  '2026-13-01',
  '2026-11-20T25:00',
  '2026-11-20T24:00',
  '2026-11-20T14:60',
  '2026-11-20T14:00:60',
  '2026-11-2014:00',
  '2026-1120',
  '202611-20',
  '2026-11-20+01:00',
  '20261120-1400',
  '20261120-250000',
  '2026-11-20T14:00+01:00Z',
  '25:00',
  'yesterday 14',
  'yesterday14:00',
  '1.5 months ago',
  '@',
  '@12x',
  '1e3 hours ago',
  '9'.repeat(400) + ' days ago',
  '-2 hours ago',
])('refuses %j', (text) => {
  expect(() => parseMoment(text, now)).toThrowError(expect.objectContaining({ code: 'USAGE' }));
});

it.each(['2026-11-22', '2999-01-01T00:00Z', '@99999999999'])('refuses the future: %j', (text) => {
  expect(() => parseMoment(text, now)).toThrow(/in the future/);
});

it('reads back what it writes, to the second', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: Math.floor(now / 1000) }), (seconds) => {
      expect(parseMoment(formatMoment(seconds * 1000), now)).toBe(seconds * 1000);
    }),
  );
});

it('never answers with anything but a moment of the past or a usage error', () => {
  const word = fc.constantFrom(
    '2026-11-20',
    '14:00',
    'yesterday',
    'ago',
    '2',
    'hours',
    'and',
    'at',
    'z',
    ',',
    'an',
    '+01',
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 6 }), fc.constantFrom('', ' '), (words, glue) => {
      try {
        const moment = parseMoment(words.join(glue), now);
        expect(moment === null || (Number.isFinite(moment) && moment <= now)).toBe(true);
      } catch (error) {
        expect(error).toMatchObject({ code: 'USAGE' });
      }
    }),
  );
});
