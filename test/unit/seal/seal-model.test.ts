import fs from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SealWorld, type DumpPlan, type WorldStep } from '../../support/seal-world.ts';
import { memoryDirectory } from '../../support/temporary-directory.ts';

const receiver = fc.constantFrom('near', 'far', 'new');
const anyStep: fc.Arbitrary<WorldStep> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('pull'), receiver, batches: fc.integer({ min: 0, max: 9 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('lose'), receiver, seed: fc.nat(999) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('see'), receiver }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('forget'), receiver }) },
);
const anyDump: fc.Arbitrary<DumpPlan> = fc.record({
  seed: fc.nat(9999),
  newPacks: fc.integer({ min: 0, max: 5 }),
  fails: fc.boolean(),
  between: fc.array(anyStep, { maxLength: 5 }),
});
type Event =
  | { dump: DumpPlan }
  | { step: WorldStep }
  | { days: number }
  | { restart: true }
  | { epoch: true };
const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ dump: anyDump }) },
  { weight: 8, arbitrary: fc.record({ step: anyStep }) },
  { weight: 3, arbitrary: fc.record({ days: fc.constantFrom(0.04, 1, 3, 6.5, 8, 30) }) },
  { weight: 1, arbitrary: fc.constant({ restart: true } as const) },
  { weight: 1, arbitrary: fc.constant({ epoch: true } as const) },
);

const roomyBytes = 1_000_000;

/** Two receivers have a pack and not the record that names it, which is gone when they come back after the lease. */
const packsWithoutTheirRecord: Event[] = [
  { dump: { seed: 0, newPacks: 1, fails: false, between: [] } },
  { step: { do: 'pull', receiver: 'new', batches: 1 } },
  { step: { do: 'pull', receiver: 'near', batches: 1 } },
  { days: 8 },
  { step: { do: 'pull', receiver: 'far', batches: 2 } },
  { restart: true },
];

/** Plays the events in a world of its own; gives it to `check` before it ends. */
async function play(
  events: readonly Event[],
  spoolBytesMax: number,
  check: (world: SealWorld) => Promise<void>,
): Promise<void> {
  const directory = memoryDirectory();
  const world = new SealWorld(directory, spoolBytesMax);
  try {
    for (const event of events) {
      if ('dump' in event) {
        // no version refers to what is neither in the spool nor with every active receiver
        expect((await world.dump(event.dump)) ?? []).toEqual([]);
        expect(world.spoolBytes()).toBeLessThanOrEqual(spoolBytesMax);
      } else if ('step' in event) world.step(event.step);
      else if ('days' in event) world.passDays(event.days);
      else if ('restart' in event) world.restart();
      else world.newEpoch();
    }
    await check(world);
  } finally {
    world.close();
    fs.rmSync(directory, { recursive: true });
  }
}

it('never makes a version that refers to a pack that neither the spool nor every active receiver holds', async () => {
  const anyBound = fc.constantFrom(roomyBytes, 1500, 700);
  await fc.assert(
    fc.asyncProperty(fc.array(anyEvent, { maxLength: 40 }), anyBound, async (events, spoolBytesMax) => {
      await play(events, spoolBytesMax, async () => {});
    }),
    { numRuns: 200 },
  );
});

it('gives every receiver that comes back all of the latest version, whatever happened before', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyEvent, { maxLength: 30 }), async (events) => {
      await play(events, roomyBytes, async (world) => {
        const everybody = ['near', 'far', 'new'];
        const pullAll = (): void => {
          for (const name of everybody) world.step({ do: 'pull', receiver: name, batches: 99 });
        };
        pullAll();
        // whatever a receiver lacks by now, the agent knows: the next version does without it
        expect(await world.dump({ seed: 1, newPacks: 2, fails: false, between: [] })).toEqual([]);
        pullAll();
        for (const name of everybody) expect(world.lackedOfLatest(name)).toEqual([]);
        expect(world.spoolBytes()).toBeGreaterThan(0);
        world.restart();
        pullAll();
        await world.dump({ seed: 1, newPacks: 0, fails: true, between: [] });
        expect(world.spoolBytes()).toBe(0);
      });
    }),
    { numRuns: 100, examples: [[packsWithoutTheirRecord]] },
  );
});
