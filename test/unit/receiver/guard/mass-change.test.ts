import fc from 'fast-check';
import { expect, it } from 'vitest';
import { defaultGuardRules, type ChangeRule } from '../../../../receiver/guard/guard-rules.ts';
import { isMassChange, mayBeMassChange, type FolderChange } from '../../../../receiver/guard/mass-change.ts';

/** Powers of two, which change no digit of a number. */
const anyUnit = fc.integer({ min: 0, max: 10 }).map((power) => 2 ** power);

const rule: ChangeRule = { share: 0.25, files: 100, bytes: 1000, filesMax: null, bytesMax: null };
const none = { files: 0, bytes: 0 };

function change(
  of: { deleted?: number; rewritten?: number; held: number },
  unit: 'files' | 'bytes',
): FolderChange {
  return {
    deleted: { ...none, [unit]: of.deleted ?? 0 },
    rewritten: { ...none, [unit]: of.rewritten ?? 0 },
    held: { ...none, [unit]: of.held },
  };
}

const anyAmount = fc.record({ files: fc.nat(10_000), bytes: fc.nat(1_000_000) });
/** What is gone was held. */
const anyChange: fc.Arbitrary<FolderChange> = fc
  .record({ deleted: anyAmount, rewritten: anyAmount, kept: anyAmount })
  .map(({ deleted, rewritten, kept }) => ({ deleted, rewritten, held: sum(sum(deleted, rewritten), kept) }));
const anyRule: fc.Arbitrary<ChangeRule> = fc.record({
  share: fc.double({ min: 0.001, max: 1, noNaN: true }),
  files: fc.nat(10_000),
  bytes: fc.nat(1_000_000),
  filesMax: fc.option(fc.integer({ min: 1, max: 10_000 })),
  bytesMax: fc.option(fc.integer({ min: 1, max: 1_000_000 })),
});

function sum<Amount extends { files: number; bytes: number }>(a: Amount, b: Amount) {
  return { files: a.files + b.files, bytes: a.bytes + b.bytes };
}

it.each<[string, FolderChange, boolean]>([
  ['a quarter of the files', change({ deleted: 100, held: 400 }, 'files'), true],
  ['less than a quarter of the files', change({ deleted: 100, held: 401 }, 'files'), false],
  ['too few files', change({ deleted: 99, held: 99 }, 'files'), false],
  ['a quarter of the bytes', change({ deleted: 1000, held: 4000 }, 'bytes'), true],
  ['less than a quarter of the bytes', change({ deleted: 1000, held: 4001 }, 'bytes'), false],
  ['too few bytes', change({ deleted: 999, held: 999 }, 'bytes'), false],
  ['files rewritten', change({ rewritten: 100, held: 400 }, 'files'), true],
  ['bytes rewritten', change({ rewritten: 1000, held: 4000 }, 'bytes'), true],
  ['half deleted and half rewritten', change({ deleted: 50, rewritten: 50, held: 400 }, 'files'), true],
])('is or is not too much: %s', (_, facts, expected) => {
  expect(isMassChange(facts, rule)).toBe(expected);
});

it('has bounds that no share makes good, where they are set', () => {
  const bounded = { ...rule, filesMax: 5000, bytesMax: 60_000 };
  const files = (deleted: number): FolderChange => change({ deleted, held: 10_000_000 }, 'files');
  const bytes = (deleted: number): FolderChange => change({ deleted, held: 10_000_000 }, 'bytes');
  expect([isMassChange(files(4999), bounded), isMassChange(files(5000), bounded)]).toEqual([false, true]);
  expect([isMassChange(bytes(59_999), bounded), isMassChange(bytes(60_000), bounded)]).toEqual([false, true]);
  expect([isMassChange(files(2_000_000), rule), isMassChange(bytes(2_000_000), rule)]).toEqual([
    false,
    false,
  ]);
});

it('finds nothing where nothing is gone, whatever the rule', () => {
  const strictest: ChangeRule = { share: 0.01, files: 0, bytes: 0, filesMax: 1, bytesMax: 1 };
  expect(isMassChange({ deleted: none, rewritten: none, held: none }, strictest)).toBe(false);
  fc.assert(
    fc.property(anyAmount, anyRule, (held, anyOne) => {
      expect(isMassChange({ deleted: none, rewritten: none, held }, anyOne)).toBe(false);
    }),
  );
});

it('is still too much when more is gone, and when there was less', () => {
  fc.assert(
    fc.property(anyChange, anyRule, anyAmount, (facts, anyOne, more) => {
      fc.pre(isMassChange(facts, anyOne));
      const { deleted, rewritten, held } = facts;
      // what is gone besides was held besides, which can only raise a share of at most one
      const grown = { deleted: sum(deleted, more), rewritten, held: sum(held, more) };
      expect(isMassChange(grown, anyOne)).toBe(true);
      const inPlace = { deleted, rewritten: sum(rewritten, more), held };
      expect(isMassChange(inPlace, anyOne)).toBe(true);
      expect(isMassChange({ ...facts, held: sum(deleted, rewritten) }, anyOne)).toBe(true);
    }),
  );
});

it('counts files and bytes each by itself, in any unit', () => {
  fc.assert(
    fc.property(anyChange, anyRule, anyUnit, (facts, anyOne, unit) => {
      const inUnits = ({ files, bytes }: { files: number; bytes: number }) => ({
        files,
        bytes: bytes * unit,
      });
      const scaled = {
        deleted: inUnits(facts.deleted),
        rewritten: inUnits(facts.rewritten),
        held: inUnits(facts.held),
      };
      const bytesMax = anyOne.bytesMax === null ? null : anyOne.bytesMax * unit;
      const scaledRule = { ...anyOne, bytes: anyOne.bytes * unit, bytesMax };
      expect(isMassChange(scaled, scaledRule)).toBe(isMassChange(facts, anyOne));
    }),
  );
});

it('does not need what was held to know that too little is gone', () => {
  fc.assert(
    fc.property(anyChange, anyRule, (facts, anyOne) => {
      expect(isMassChange(facts, anyOne) && !mayBeMassChange(facts, anyOne)).toBe(false);
    }),
  );
});

it('hits by default at a quarter, of at least a hundred files or a hundred MiB', () => {
  const { changes } = defaultGuardRules;
  if (changes === null) throw new Error('the guard is off by default');
  const mib = 1024 * 1024;
  const hits = (gone: number, held: number, unit: 'files' | 'bytes'): boolean =>
    isMassChange(change({ deleted: gone, held }, unit), changes);
  expect([hits(100, 400, 'files'), hits(100, 401, 'files'), hits(99, 99, 'files')]).toEqual([
    true,
    false,
    false,
  ]);
  expect([hits(100 * mib, 400 * mib, 'bytes'), hits(100 * mib, 400 * mib + 1, 'bytes')]).toEqual([
    true,
    false,
  ]);
  expect(hits(100 * mib - 1, 100 * mib, 'bytes')).toBe(false);
  expect(hits(1_000_000, 1_000_000_000, 'files')).toBe(false);
});
