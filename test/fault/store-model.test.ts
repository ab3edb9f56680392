import fs from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { dyingDisk } from '../support/faulty-disk.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';
import { modelContents, modelPaths, StoreModel, type StoreOperation } from '../support/store-model.ts';
import { expectNothingLeftIncoming, expectRebuildToMatch, removeDatabase } from '../support/store-harness.ts';
import {
  expectTreesToMatch,
  imageOf,
  mirrorWorkload,
  perform,
  versionsKept,
  workloadFixture,
} from '../support/store-workload.ts';

/** What is done next, before it is known where the store stands. `diesAfter`: calls of the disk; then no more succeed. */
type Command =
  | {
      do: 'send';
      changes: [string, string | null, number | null][];
      missing: [string, number | null][];
      isHead: boolean;
      renews: boolean;
      diesAfter: number | null;
    }
  | { do: 'complete' | 'expire'; diesAfter: number | null }
  | { do: 'reopen'; losingDatabase: boolean };

const path = fc.constantFrom(...modelPaths);
const state = fc.oneof(
  { weight: 2, arbitrary: fc.constant(null) },
  { weight: 6, arbitrary: fc.constantFrom(...modelContents) },
  { weight: 2, arbitrary: fc.constantFrom('c0+x', 'c1+x', 'big+x') },
  { weight: 1, arbitrary: fc.constantFrom('link:a', 'link:d', 'dir:700', 'dir:755') },
);
/** How far before it the sequence lies that a record replaces. */
const back = fc.option(fc.integer({ min: 1, max: 12 }));
const diesAfter = fc.option(fc.integer({ min: 0, max: 40 }), { freq: 4 });
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      changes: fc.uniqueArray(fc.tuple(path, state, back), {
        minLength: 1,
        maxLength: 5,
        selector: ([name]) => name,
      }),
      missing: fc.uniqueArray(fc.tuple(path, back), { maxLength: 2, selector: ([name]) => name }),
      isHead: fc.boolean(),
      renews: fc.boolean(),
      diesAfter,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('complete' as const, 'expire' as const), diesAfter }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const), losingDatabase: fc.boolean() }) },
);

const seed = process.env['MASTOKEEP_SEED'];

it('is what a simple model says after any commands, deaths of the disk included', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 20, size: 'max' }), async (commands) => {
      await follow(commands);
    }),
    { numRuns: 60, ...(seed === undefined ? {} : { seed: Number(seed) }) },
  );
});

async function follow(commands: readonly Command[]): Promise<void> {
  const directory = memoryDirectory();
  const mortal = dyingDisk(nodeDisk);
  const { open, root, databasePath } = workloadFixture(directory, { disk: mortal.disk });
  let model = new StoreModel();
  let store = await open();
  try {
    for (const [at, one] of commands.entries()) {
      const operation = resolve(one, store, at);
      if (operation === null) continue;
      const after = model.apply(operation);
      let possible = [after];
      if (operation.do === 'reopen') {
        await store.close();
        if (operation.losingDatabase) removeDatabase(databasePath);
        store = await open();
      } else if (!(await survives(store, operation, mortal, one.do === 'reopen' ? null : one.diesAfter))) {
        possible = [model, after];
        await store.close();
        store = await open();
        expectNothingLeftIncoming(root);
      }
      const image = imageOf(store);
      const found = possible.find((candidate) => JSON.stringify(candidate.image()) === JSON.stringify(image));
      if (found === undefined) expect(image, JSON.stringify(operation)).toEqual(after.image());
      model = found ?? after;
      expectTreesToMatch(store, root);
    }
  } finally {
    mortal.revive();
    await store.close();
  }
  await expectRebuildToMatch(workloadFixture(directory), mirrorWorkload.tables);
  fs.rmSync(directory, { recursive: true });
}

async function survives(
  store: MirrorStore,
  operation: StoreOperation,
  mortal: ReturnType<typeof dyingDisk>,
  calls: number | null,
): Promise<boolean> {
  if (calls !== null) mortal.dieAfter(calls);
  try {
    await perform(store, operation);
    return true;
  } catch (error) {
    if (!isCoded(error, 'DISK_FAILED')) throw error;
    return false;
  } finally {
    mortal.revive();
  }
}

/** Null for what cannot be done yet. */
function resolve(one: Command, store: MirrorStore, at: number): StoreOperation | null {
  const position = store.position();
  const indexId = position?.indexId.toString('hex') ?? null;
  switch (one.do) {
    case 'send': {
      const renews = one.renews && at % 3 === 0;
      const missing = one.missing.filter(([name]) => !one.changes.some(([changed]) => changed === name));
      const sequence = renews ? 1 : (position?.sequence ?? 0) + 1;
      const earlier = (steps: number | null): number | null =>
        steps === null || steps >= sequence ? null : sequence - steps;
      return {
        do: 'send',
        indexId: renews || indexId === null ? String(at).padStart(16, '0') : indexId,
        sequence,
        changes: one.changes.map(([name, state, steps]) => [name, state, earlier(steps)]),
        missing: missing.map(([name, steps]) => [name, earlier(steps)]),
        isHead: one.isHead,
      };
    }
    case 'complete':
      return indexId === null ? null : { do: 'complete', indexId };
    case 'expire':
      return { do: 'expire', keep: versionsKept };
    case 'reopen':
      return one;
  }
}
