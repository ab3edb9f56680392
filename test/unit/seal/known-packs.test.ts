import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  activeReceivers,
  choosePacksToForget,
  isKnown,
  type PackFacts,
  type ReceiverFacts,
} from '../../../agent/seal/known-packs.ts';

const dayMs = 86_400_000;
const nowMs = 100 * dayMs;

const receiverIds = ['a', 'b', 'c'];
const anyReceivers = fc.uniqueArray(
  fc.record({
    receiverId: fc.constantFrom(...receiverIds),
    durableSequence: fc.integer({ min: 0, max: 20 }),
    lastSeenAt: fc.integer({ min: 80, max: 100 }).map((day) => day * dayMs),
    passedOver: fc.boolean(),
  }),
  { selector: ({ receiverId }) => receiverId },
);
const anyPack: fc.Arbitrary<PackFacts> = fc.record({
  id: fc.nat(),
  plainBytes: fc.integer({ min: 1, max: 1000 }),
  usedBytes: fc.integer({ min: 0, max: 1000 }),
  createdAt: fc.integer({ min: 80, max: 100 }).map((day) => day * dayMs),
  inSpool: fc.boolean(),
  sequence: fc.integer({ min: 1, max: 20 }),
  namedSequence: fc.option(fc.integer({ min: 1, max: 20 })),
  lackedBy: fc.subarray(receiverIds).map((ids): ReadonlySet<string> => new Set(ids)),
});

/** Of about half of these less than a quarter is used. */
const anyUsedPack = fc
  .record({
    id: fc.nat(),
    plainBytes: fc.integer({ min: 400, max: 1000 }),
    usedPercent: fc.integer({ min: 0, max: 50 }),
  })
  .map(({ id, plainBytes, usedPercent }) => ({
    id,
    plainBytes,
    usedBytes: Math.floor((plainBytes * usedPercent) / 100),
  }));

const pack: PackFacts = {
  id: 1,
  plainBytes: 100,
  usedBytes: 100,
  createdAt: nowMs - dayMs,
  inSpool: false,
  sequence: 5,
  namedSequence: 5,
  lackedBy: new Set(),
};
const receiver: ReceiverFacts = { receiverId: 'a', durableSequence: 5, lastSeenAt: nowMs, passedOver: false };

it('refers to a pack that is in the spool, or that every active receiver holds', () => {
  expect(isKnown({ ...pack, inSpool: true }, [], nowMs)).toBe(true);
  expect(isKnown(pack, [receiver], nowMs)).toBe(true);
  expect(isKnown(pack, [receiver, { ...receiver, receiverId: 'b', durableSequence: 4 }], nowMs)).toBe(false);
  expect(isKnown({ ...pack, lackedBy: new Set(['a']) }, [receiver], nowMs)).toBe(false);
});

it('refers to nothing that left the spool while no receiver is active', () => {
  expect(isKnown(pack, [], nowMs)).toBe(false);
});

it('refers to a pack that no version uses only while receivers keep it', () => {
  const unused = { ...pack, usedBytes: 0, inSpool: true };
  expect(isKnown(unused, [receiver], nowMs)).toBe(true);
  expect(isKnown({ ...unused, createdAt: nowMs - 6.5 * dayMs }, [receiver], nowMs)).toBe(false);
});

it('relies on a pack that no version of the receiver names only while the receiver keeps it', () => {
  const unnamed = { ...pack, namedSequence: null };
  expect(isKnown(unnamed, [receiver], nowMs)).toBe(true);
  const old = { ...unnamed, createdAt: nowMs - 6.5 * dayMs };
  expect(isKnown(old, [receiver], nowMs)).toBe(false);
  expect(isKnown({ ...old, namedSequence: 6 }, [receiver], nowMs)).toBe(false);
  expect(isKnown({ ...old, namedSequence: 6 }, [{ ...receiver, durableSequence: 6 }], nowMs)).toBe(true);
});

it('counts receivers as active that were seen within 7 days and not passed over', () => {
  const away = { ...receiver, receiverId: 'b', lastSeenAt: nowMs - 8 * dayMs };
  const passedOver = { ...receiver, receiverId: 'c', passedOver: true };
  expect(activeReceivers([receiver, away, passedOver], nowMs)).toEqual([receiver]);
});

it('never refers to what an active receiver can neither pull nor holds', () => {
  fc.assert(
    fc.property(anyPack, anyReceivers, (some, receivers) => {
      const active = activeReceivers(receivers, nowMs);
      if (!isKnown(some, active, nowMs) || some.inSpool) return;
      expect(active.length).toBeGreaterThan(0);
      for (const { receiverId, durableSequence } of active) {
        expect(some.sequence).toBeLessThanOrEqual(durableSequence);
        expect(some.lackedBy.has(receiverId)).toBe(false);
      }
    }),
  );
});

it('forgets only packs of which less than a quarter is used, the emptiest, within the budget', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(anyUsedPack, { selector: ({ id }) => id, minLength: 5, maxLength: 30 }),
      fc.nat({ max: 300 }),
      (packs, budgetBytes) => {
        const chosen = new Set(choosePacksToForget(packs, budgetBytes));
        const sparse = packs.filter(
          ({ usedBytes, plainBytes }) => usedBytes > 0 && usedBytes / plainBytes < 0.25,
        );
        const forgotten = sparse.filter(({ id }) => chosen.has(id));
        expect(forgotten.length).toBe(chosen.size);
        const cost = forgotten.reduce((sum, { usedBytes }) => sum + usedBytes, 0);
        expect(cost).toBeLessThanOrEqual(budgetBytes);
        const fullest = Math.max(0, ...forgotten.map(({ usedBytes, plainBytes }) => usedBytes / plainBytes));
        const left = sparse.filter(({ id }) => !chosen.has(id));
        for (const { usedBytes, plainBytes } of left) {
          expect(usedBytes / plainBytes).toBeGreaterThanOrEqual(fullest);
        }
        // as many as the budget allows
        const next = left.toSorted((x, y) => x.usedBytes / x.plainBytes - y.usedBytes / y.plainBytes)[0];
        if (next !== undefined && left.length === 1)
          expect(cost + next.usedBytes).toBeGreaterThan(budgetBytes);
      },
    ),
  );
});
