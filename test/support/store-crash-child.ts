import fs from 'node:fs';
import { sealedWorkload } from './sealed-store-workload.ts';
import { SeededRandom } from './seeded-random.ts';
import { isReopening } from './store-faults.ts';
import { removeDatabase, type AnyStore, type StoreWorkload } from './store-harness.ts';
import { mirrorWorkload } from './store-workload.ts';

/**
 * Runs a random workload on a store until it ends or is killed: `mirror|sealed DIRECTORY SEED OPERATIONS`. Says what it
 * is about to do and what is acknowledged, a line each, written before it goes on.
 */
const [kind, directory = '', seed = '0', operations = '0'] = process.argv.slice(2);
const say = (word: string, value: unknown): void =>
  void fs.writeSync(1, `${word} ${JSON.stringify(value)}\n`);

await (kind === 'sealed' ? run(sealedWorkload) : run(mirrorWorkload));

async function run<Store extends AnyStore, Operation extends { do: string }, Image>({
  fixture,
  imageOf,
  nextOperation,
  perform,
}: StoreWorkload<Store, Operation, Image>): Promise<void> {
  const { open, databasePath } = fixture(directory);
  const random = new SeededRandom(seed);
  let store = await open();
  say('opened', imageOf(store));
  for (let at = 0; at < Number(operations); at += 1) {
    const operation = nextOperation(random, store);
    say('begin', operation);
    if (isReopening(operation)) {
      await store.close();
      if (operation.losingDatabase) removeDatabase(databasePath);
      store = await open();
      say('opened', imageOf(store));
    } else {
      await perform(store, operation);
    }
    say('done', null);
  }
  await store.close();
}
