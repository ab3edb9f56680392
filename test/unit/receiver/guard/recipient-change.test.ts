import fc from 'fast-check';
import { expect, it } from 'vitest';
import { recipientChange, type SealedTo } from '../../../../receiver/guard/recipient-change.ts';

function version(receivedAt: number, ...recipients: string[]): SealedTo {
  return { number: receivedAt, receivedAt, recipients };
}

it('finds the first version with another set of keys than the first version', () => {
  const versions = [version(1, 'ann'), version(2, 'ann'), version(3, 'ann', 'eve'), version(4, 'eve')];
  expect(recipientChange(versions, null)).toEqual({ number: 3, added: ['eve'], removed: [] });
  expect(recipientChange([version(1, 'ann', 'bob'), version(2, 'bob')], null)).toMatchObject({
    removed: ['ann'],
  });
  expect(recipientChange([version(1, 'ann'), version(2)], null)).toMatchObject({ removed: ['ann'] });
});

it('finds a change that was taken back', () => {
  expect(recipientChange([version(1, 'ann'), version(2, 'eve'), version(3, 'ann')], null)).toMatchObject({
    number: 2,
  });
});

it('finds nothing in no versions, a first one, the same keys in another order, and what was accepted', () => {
  expect(recipientChange([], null)).toBeNull();
  expect(recipientChange([version(1, 'ann', 'bob'), version(2, 'bob', 'ann')], null)).toBeNull();
  const changed = [version(1, 'ann'), version(2, 'bob'), version(3, 'bob')];
  expect(recipientChange(changed, { at: 2, keyIds: ['bob'] })).toBeNull();
  expect(recipientChange(changed, { at: 1, keyIds: ['ann'] })).toMatchObject({ number: 2 });
  expect(recipientChange([...changed, version(4, 'ann')], { at: 3, keyIds: ['bob'] })).toMatchObject({
    number: 4,
  });
});

it('finds something just where a set differs, wherever the version is and whatever expired before', () => {
  const anyKeys = fc.uniqueArray(fc.constantFrom('ann', 'bob', 'eve'));
  fc.assert(
    fc.property(fc.array(anyKeys, { minLength: 1 }), fc.nat(), (sets, expired) => {
      const versions = sets.map((keys, at) => version(at + 1, ...keys));
      const sorted = sets.map((keys) => keys.toSorted().join());
      expect(recipientChange(versions, null) !== null).toBe(new Set(sorted).size > 1);
      const left = versions.slice(expired % sets.length);
      if (new Set(sorted).size === 1) expect(recipientChange(left, null)).toBeNull();
    }),
  );
});
