import fs from 'node:fs';
import { expect, it } from 'vitest';
import { SeededRandom } from '../support/seeded-random.ts';
import { temporaryDirectory } from '../support/store-fixture.ts';
import { StoreModel } from '../support/store-model.ts';
import { expectRebuildToMatch, removeDatabase } from '../support/store-harness.ts';
import {
  expectTreesToMatch,
  imageOf,
  mirrorWorkload,
  nextOperation,
  perform,
  workloadFixture,
} from '../support/store-workload.ts';

const seeds =
  process.env['MASTOKEEP_SEED']?.split(',') ?? Array.from({ length: 12 }, (_, at) => String(at + 1));

it.each(seeds)('is what a simple model says after any operations (seed %s)', async (seed) => {
  const directory = temporaryDirectory();
  const { open, root, databasePath } = workloadFixture(directory);
  const random = new SeededRandom(seed);
  let model = new StoreModel();
  let store = await open();
  for (let at = 0; at < 40; at += 1) {
    const operation = nextOperation(random, store);
    if (operation.do === 'reopen') {
      await store.close();
      if (operation.losingDatabase) removeDatabase(databasePath);
      store = await open();
    } else {
      await perform(store, operation);
    }
    model = model.apply(operation);
    expect(imageOf(store), `after ${JSON.stringify(operation)}`).toEqual(model.image());
    expectTreesToMatch(store, root);
  }
  await store.close();
  await expectRebuildToMatch(workloadFixture(directory), mirrorWorkload.tables);
  fs.rmSync(directory, { recursive: true });
});
