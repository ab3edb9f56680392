import fs from 'node:fs';
import { SeededRandom } from './seeded-random.ts';
import { imageOf, nextOperation, perform, removeDatabase, workloadFixture } from './store-workload.ts';

/**
 * Runs a random workload on a store until it ends or is killed: `DIRECTORY SEED OPERATIONS`. Says what it is about to
 * do and what is acknowledged, a line each, written before it goes on.
 */
const [directory = '', seed = '0', operations = '0'] = process.argv.slice(2);
const { open, databasePath } = workloadFixture(directory);
const random = new SeededRandom(seed);
const say = (word: string, value: unknown): void =>
  void fs.writeSync(1, `${word} ${JSON.stringify(value)}\n`);

let store = await open();
say('opened', imageOf(store));
for (let at = 0; at < Number(operations); at += 1) {
  const operation = nextOperation(random, store);
  say('begin', operation);
  if (operation.do === 'reopen') {
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
