import fc from 'fast-check';
import { expect, it } from 'vitest';
import { defaultGuardRules } from '../../../../receiver/guard/guard-rules.ts';
import { packSurge } from '../../../../receiver/guard/pack-surge.ts';

/** Powers of two, which change no digit of a number. */
const anyUnit = fc.integer({ min: 0, max: 10 }).map((power) => 2 ** power);

const rule = { times: 10, dumps: 2, bytes: 1000 };
const usual = [100, 100, 100, 100];

it.each<[string, Parameters<typeof packSurge>, boolean]>([
  [
    'more than ten times as much as usual and than two dumps',
    [{ received: 1101, earlier: usual }, 550, rule],
    true,
  ],
  ['ten times as much', [{ received: 1000, earlier: usual }, 100, rule], false],
  ['just more than ten times as much', [{ received: 1001, earlier: usual }, 100, rule], true],
  ['two dumps from scratch', [{ received: 2000, earlier: usual }, 1000, rule], false],
  ['just more than two dumps', [{ received: 2001, earlier: usual }, 1000, rule], true],
  ['few bytes', [{ received: 999, earlier: [1, 1, 1] }, 1, rule], false],
  ['just enough bytes', [{ received: 1000, earlier: [1, 1, 1] }, 1, rule], true],
  ['no third window before', [{ received: 9999, earlier: [1, 1] }, 1, rule], false],
  ['no dump known', [{ received: 9999, earlier: usual }, null, rule], false],
  [
    'a median that one busy window does not move',
    [{ received: 5000, earlier: [9999, 100, 100] }, 100, rule],
    true,
  ],
  [
    'windows longer ago than the last fourteen',
    [{ received: 5000, earlier: [...Array<number>(14).fill(1), ...Array<number>(30).fill(9999)] }, 100, rule],
    true,
  ],
])('is or is not a surge: %s', (_, call, expected) => {
  expect(packSurge(...call) !== null).toBe(expected);
});

const anyBytes = fc.nat(1_000_000);
const anyRule = fc.record({
  times: fc.integer({ min: 1, max: 20 }),
  dumps: fc.integer({ min: 1, max: 5 }),
  bytes: anyBytes,
});
const anyEarlier = fc.array(anyBytes, { minLength: 3, maxLength: 20 });

it('finds nothing where nothing came, and still what it found when more comes; the same in any unit', () => {
  fc.assert(
    fc.property(anyBytes, anyEarlier, anyBytes, anyRule, anyUnit, (received, earlier, dump, anyOne, unit) => {
      expect(packSurge({ received: 0, earlier }, dump, anyOne)).toBeNull();
      const found = packSurge({ received, earlier }, dump, anyOne) !== null;
      if (found) expect(packSurge({ received: received + unit, earlier }, dump, anyOne)).not.toBeNull();
      const scaled = { received: received * unit, earlier: earlier.map((bytes) => bytes * unit) };
      const scaledRule = { ...anyOne, bytes: anyOne.bytes * unit };
      expect(packSurge(scaled, dump * unit, scaledRule) !== null).toBe(found);
    }),
  );
});

it('hits by default above ten times what is usual and two dumps, of at least a GiB', () => {
  const { surge } = defaultGuardRules;
  if (surge === null) throw new Error('the guard is off by default');
  const gib = 1024 ** 3;
  const hits = (received: number, usualBytes: number, dumpBytes: number): boolean =>
    packSurge({ received, earlier: [usualBytes, usualBytes, usualBytes] }, dumpBytes, surge) !== null;
  expect([hits(gib, 1, 1), hits(gib - 1, 1, 1)]).toEqual([true, false]);
  expect([hits(10 * gib + 1, gib, gib), hits(10 * gib, gib, gib)]).toEqual([true, false]);
  expect([hits(20 * gib + 1, gib, 10 * gib), hits(20 * gib, gib, 10 * gib)]).toEqual([true, false]);
});
