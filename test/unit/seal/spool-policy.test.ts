import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { ReceiverFacts } from '../../../agent/seal/known-packs.ts';
import { chooseDelivered, chooseEvictions, type SpooledObject } from '../../../agent/seal/spool-policy.ts';

const nowMs = 1000;
const receiver = (receiverId: string, durableSequence: number): ReceiverFacts => ({
  receiverId,
  durableSequence,
  lastSeenAt: 0,
  passedOver: false,
});
const objects: SpooledObject[] = [1, 2, 3, 4].map((sequence) => ({
  id: sequence * 10,
  bytes: 100,
  sequence,
  namedSequence: sequence,
  createdAt: sequence,
  lackedBy: new Set(),
}));

it('takes out of the spool what every active receiver holds, and nothing while there is none', () => {
  expect(chooseDelivered(objects, [receiver('a', 3), receiver('b', 2)], nowMs)).toEqual([10, 20]);
  expect(chooseDelivered(objects, [], nowMs)).toEqual([]);
});

it('lets go at the bound what some receiver holds, the oldest first, and names who is passed over', () => {
  const receivers = [receiver('a', 3), receiver('dead', 0)];
  expect(chooseEvictions([{ objects, receivers }], 150, nowMs)).toEqual([
    { objects: [10, 20], passedOver: ['dead'] },
  ]);
});

it('lets go the oldest of all folders, and passes nobody over in a folder of which nothing goes', () => {
  const later = objects.map((object) => ({ ...object, createdAt: 10 + object.sequence }));
  const receivers = [receiver('a', 4), receiver('dead', 0)];
  const shares = [
    { objects: later, receivers },
    { objects, receivers },
  ];
  expect(chooseEvictions(shares, 300, nowMs)).toEqual([
    { objects: [], passedOver: [] },
    { objects: [10, 20, 30], passedOver: ['dead'] },
  ]);
  expect(chooseEvictions(shares, 500, nowMs)?.map((eviction) => eviction.objects)).toEqual([
    [10],
    [10, 20, 30, 40],
  ]);
});

it('lets nothing go that no receiver holds: the dump waits', () => {
  expect(chooseEvictions([{ objects, receivers: [receiver('a', 1)] }], 150, nowMs)).toBeNull();
  expect(chooseEvictions([{ objects, receivers: [] }], 1, nowMs)).toBeNull();
});

it('never gives up the only copy, and frees what is needed', () => {
  const anyObjects = fc.uniqueArray(
    fc.record({
      id: fc.nat(),
      bytes: fc.integer({ min: 1, max: 100 }),
      sequence: fc.integer({ min: 1, max: 20 }),
      namedSequence: fc.option(fc.integer({ min: 1, max: 20 })),
      createdAt: fc.integer({ min: 1, max: 20 }),
      lackedBy: fc.subarray(['a', 'b']).map((ids): ReadonlySet<string> => new Set(ids)),
    }),
    { selector: ({ id }) => id },
  );
  fc.assert(
    fc.property(
      anyObjects,
      fc.nat({ max: 20 }),
      fc.nat({ max: 20 }),
      fc.nat({ max: 500 }),
      (some, a, b, needed) => {
        const receivers = [receiver('a', a), receiver('b', b)];
        const evictions = chooseEvictions([{ objects: some, receivers }], needed, nowMs)?.[0] ?? null;
        const holders = ({ sequence, lackedBy }: SpooledObject): string[] =>
          receivers
            .filter((r) => sequence <= r.durableSequence && !lackedBy.has(r.receiverId))
            .map((r) => r.receiverId);
        if (evictions === null) {
          const free = some
            .filter((object) => holders(object).length > 0)
            .reduce((sum, { bytes }) => sum + bytes, 0);
          expect(free).toBeLessThan(needed);
          return;
        }
        const gone = some.filter(({ id }) => evictions.objects.includes(id));
        expect(gone.reduce((sum, { bytes }) => sum + bytes, 0)).toBeGreaterThanOrEqual(needed);
        for (const object of gone) {
          expect(holders(object)).not.toEqual([]);
          for (const { receiverId } of receivers) {
            expect(holders(object).includes(receiverId) || evictions.passedOver.includes(receiverId)).toBe(
              true,
            );
          }
        }
      },
    ),
  );
});
