import fc from 'fast-check';
import { expect, it } from 'vitest';
import { shrunkenDump } from '../../../../receiver/guard/dump-shrinking.ts';
import { defaultGuardRules } from '../../../../receiver/guard/guard-rules.ts';
import { earlierDumps, usualDumpBytes, type DumpFact } from '../../../../receiver/guard/usual-dump.ts';

/** Powers of two, which change no digit of a number. */
const anyUnit = fc.integer({ min: 0, max: 10 }).map((power) => 2 ** power);

const [hourMs, dayMs] = [3_600_000, 86_400_000];
const now = 1_800_000_000_000;
const history = { until: now - dayMs, acceptedAt: null as number | null, windowMs: dayMs };
const rule = { share: 0.5, bytes: 100 };

/** `daysAgo`: when it was received. */
function dump(daysAgo: number, bytes: number, changes: Partial<DumpFact> = {}): DumpFact {
  return { number: 1, epoch: 'a', receivedAt: now - daysAgo * dayMs, bytes, complete: true, ...changes };
}

const daily = (bytes: number, changes: Partial<DumpFact> = {}): DumpFact[] =>
  Array.from({ length: 9 }, (_, day) => dump(10 - day, bytes, changes));

it('finds a dump of half the usual size, and not one that is larger', () => {
  const found = shrunkenDump([...daily(1000), dump(0.5, 500), dump(0.2, 400)], history, rule);
  expect(found).toMatchObject({ dump: { bytes: 400 }, usualBytes: 1000 });
  expect(shrunkenDump([...daily(1000), dump(0.5, 500)], history, rule)).not.toBeNull();
  expect(shrunkenDump([...daily(1000), dump(0.5, 501)], history, rule)).toBeNull();
});

it('does not judge what came before the window', () => {
  expect(shrunkenDump([...daily(1000), dump(1.5, 5), dump(0.5, 1000)], history, rule)).toBeNull();
});

it('finds nothing where only a little is lacking, however small a part it is of what was', () => {
  expect(shrunkenDump([...daily(100), dump(0.5, 0)], history, rule)).not.toBeNull();
  expect(shrunkenDump([...daily(99), dump(0.5, 0)], history, rule)).toBeNull();
});

it('allows the first dumps of an epoch to be packed twice as tightly', () => {
  const packed = (bytes: number) => [...daily(1000), dump(0.5, bytes, { epoch: 'b' })];
  expect(shrunkenDump(packed(251), history, rule)).toBeNull();
  expect(shrunkenDump(packed(250), history, rule)).not.toBeNull();
});

it('finds nothing in a first dump, in first dumps of one day, and in one that grows slowly or falls by a third', () => {
  expect(shrunkenDump([dump(0.1, 5)], history, rule)).toBeNull();
  expect(shrunkenDump([dump(0.5, 5000), dump(0.1, 5)], history, rule)).toBeNull();
  const growing = Array.from({ length: 200 }, (_, hour) => dump(9 - hour / 24, 1000 + hour));
  expect(shrunkenDump(growing, history, rule)).toBeNull();
  expect(shrunkenDump([...daily(1000), dump(0.5, 667)], history, rule)).toBeNull();
});

it('finds a dump that is larger by each step than the one before when it shrinks by a tenth each day', () => {
  const shrinking = Array.from({ length: 14 }, (_, day) => dump(13 - day, 1000 * 0.9 ** day));
  expect(shrunkenDump(shrinking, history, rule)).not.toBeNull();
  const slower = Array.from({ length: 14 }, (_, day) => dump(13 - day, 1000 * 0.97 ** day));
  expect(shrunkenDump(slower, history, rule)).toBeNull();
});

it('does not let many small dumps of one day become the usual ones', () => {
  const flood = Array.from({ length: 500 }, (_, at) => dump(1.9 - at * 0.0001, 1));
  expect(usualDumpBytes(earlierDumps([...daily(1000), ...flood], history))).toBe(1000);
  expect(shrunkenDump([...daily(1000), ...flood, dump(0.5, 1)], history, rule)).not.toBeNull();
});

it('judges by complete dumps of the last fourteen days on which any came', () => {
  const incomplete = daily(5000, { complete: false });
  expect(shrunkenDump([...incomplete, dump(0.5, 5)], history, rule)).toBeNull();
  const monthly = Array.from({ length: 40 }, (_, month) => dump(30 * (month + 1), month < 14 ? 1000 : 9000));
  expect(usualDumpBytes(earlierDumps(monthly, history))).toBe(1000);
});

it('takes what a person accepted for what is usual from then on', () => {
  const accepted = { ...history, until: now - hourMs, acceptedAt: now - hourMs };
  const small = [...daily(1000), dump(0.5, 200)];
  expect(shrunkenDump([...small, dump(0.01, 200)], accepted, rule)).toBeNull();
  expect(shrunkenDump([...small, dump(0.01, 100)], accepted, rule)).not.toBeNull();
});

const anyDump: fc.Arbitrary<DumpFact> = fc.record({
  number: fc.nat(100),
  epoch: fc.constantFrom('a', 'b'),
  receivedAt: fc.integer({ min: 0, max: 40 * 24 }).map((hours) => now - hours * hourMs),
  bytes: fc.nat(10_000),
  complete: fc.boolean(),
});
const anyRule = fc.record({ share: fc.double({ min: 0.01, max: 1, noNaN: true }), bytes: fc.nat(5000) });

it('is still found when a later dump is smaller, and is not moved by what came after the window began', () => {
  fc.assert(
    fc.property(fc.array(anyDump), anyRule, fc.nat(100), anyDump, (dumps, anyOne, percent, other) => {
      const found = shrunkenDump(dumps, history, anyOne);
      fc.pre(found !== null);
      const smaller = dumps.map((one) =>
        one === found?.dump ? { ...one, bytes: Math.floor((one.bytes * percent) / 100) } : one,
      );
      expect(shrunkenDump(smaller, history, anyOne)).not.toBeNull();
      const later = { ...other, receivedAt: Math.max(other.receivedAt, history.until + 1) };
      expect(shrunkenDump([...dumps, later], history, anyOne)).not.toBeNull();
    }),
  );
});

it('finds nothing where all dumps have one size, or none came before', () => {
  fc.assert(
    fc.property(fc.array(anyDump), anyRule, fc.nat(10_000), (dumps, anyOne, bytes) => {
      expect(
        shrunkenDump(
          dumps.map((one) => ({ ...one, bytes })),
          history,
          anyOne,
        ),
      ).toBeNull();
      const later = dumps.filter(({ receivedAt }) => receivedAt > history.until);
      expect(shrunkenDump(later, history, anyOne)).toBeNull();
    }),
  );
});

it('is the same in any unit and in any order', () => {
  fc.assert(
    fc.property(fc.array(anyDump), anyRule, anyUnit, (dumps, anyOne, unit) => {
      const found = shrunkenDump(dumps, history, anyOne);
      const scaled = dumps.map((one) => ({ ...one, bytes: one.bytes * unit })).toReversed();
      const again = shrunkenDump(scaled, history, { ...anyOne, bytes: anyOne.bytes * unit });
      expect(again?.usualBytes).toBe(found === null ? undefined : found.usualBytes * unit);
      expect(again?.dump.bytes).toBe(found === null ? undefined : found.dump.bytes * unit);
    }),
  );
});

it('hits by default at half, of at least 16 MiB', () => {
  const { shrinking } = defaultGuardRules;
  if (shrinking === null) throw new Error('the guard is off by default');
  const mib = 1024 * 1024;
  const hits = (usual: number, bytes: number): boolean =>
    shrunkenDump([...daily(usual), dump(0.5, bytes)], history, shrinking) !== null;
  expect([hits(40 * mib, 20 * mib), hits(40 * mib, 20 * mib + 1)]).toEqual([true, false]);
  expect([hits(16 * mib, 0), hits(16 * mib - 1, 0)]).toEqual([true, false]);
});
