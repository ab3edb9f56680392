import { afterAll, expect, it } from 'vitest';
import { SeededRandom } from '../support/seeded-random.ts';
import { StoreKills } from '../support/store-kills.ts';
import { mirrorWorkload } from '../support/store-workload.ts';

/**
 * The invariant: however often the process is killed, at whatever point, a store that is opened again is exactly what
 * was acknowledged, or that and all of the one operation that was under way.
 */
const killsMin = 100;
const lanes = process.env['MASTOKEEP_SEED']?.split(',') ?? ['kill-1', 'kill-2'];
const store = new StoreKills(mirrorWorkload, 'mirror');

afterAll(() => {
  console.log(`kills: ${JSON.stringify(Object.fromEntries(store.killedAt))}`);
});

it.concurrent.each(lanes)(
  'holds what it acknowledged through 100 kills at named points (seed %s)',
  async (seed) => {
    const random = new SeededRandom(seed);
    for (let kills = 0; kills < killsMin;) kills += await store.killRepeatedly(random, `${seed}/${kills}`);
  },
);

it('was killed at every named point', () => {
  if (process.env['MASTOKEEP_SEED'] !== undefined) return;
  expect([...store.killedAt.keys()].toSorted()).toEqual(store.points.toSorted());
});
