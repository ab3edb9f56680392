import fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { removeDatabase, expectRebuildToMatch } from '../support/store-harness.ts';
import { sealedWorkload } from '../support/sealed-store-workload.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { failsOnce, isReopening, storeFaults } from '../support/store-faults.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';
import { StoreKills } from '../support/store-kills.ts';
import { PowerCuts } from '../support/store-power-cuts.ts';

/**
 * The invariant, whatever is killed, fails or loses its power: nothing that was acknowledged is lost, no version counts
 * as complete without its packs on the disk, and no pack that a version needs is removed.
 */
const wanted = process.env['MASTOKEEP_SEED'];
const seeds = (standard: string[]): string[] => wanted?.split(',') ?? standard;

it.each(seeds(['1', '2', '3', '4']))(
  'is what a simple model says after any operations (seed %s)',
  async (seed) => {
    const directory = memoryDirectory();
    const fixture = sealedWorkload.fixture(directory);
    const random = new SeededRandom(seed);
    let model = sealedWorkload.model();
    let store = await fixture.open();
    for (let at = 0; at < 50; at += 1) {
      const operation = sealedWorkload.nextOperation(random, store);
      if (isReopening(operation)) {
        await store.close();
        if (operation.losingDatabase) removeDatabase(fixture.databasePath);
        store = await fixture.open();
      } else {
        await sealedWorkload.perform(store, operation);
        model = model.apply(operation);
      }
      const story = `after ${JSON.stringify(operation)}`;
      expect(sealedWorkload.imageOf(store), story).toEqual(model.image());
      sealedWorkload.expectTreesToMatch(store, fixture.root);
    }
    expect(model.image().versions.length).toBeGreaterThan(3);
    await store.close();
    await expectRebuildToMatch(fixture, sealedWorkload.tables);
    fs.rmSync(directory, { recursive: true });
  },
);

describe('kills', () => {
  const kills = new StoreKills(sealedWorkload, 'sealed');

  it.concurrent.each(seeds(['sealed-1', 'sealed-2']))(
    'lose nothing acknowledged, 50 of them (seed %s)',
    async (seed) => {
      const random = new SeededRandom(seed);
      for (let count = 0; count < 50;) count += await kills.killRepeatedly(random, `${seed}/${count}`);
    },
  );

  it('come at every named point', () => {
    if (wanted !== undefined) return;
    expect([...kills.killedAt.keys()].toSorted()).toEqual(kills.points.toSorted());
  });
});

describe('power cuts', () => {
  const cuts = new PowerCuts(sealedWorkload);

  it.each(seeds(['cut-1', 'cut-2']))(
    'lose nothing acknowledged when all that is unsynced is dropped (seed %s)',
    async (seed) => {
      const recording = await cuts.record(seed, null);
      await cuts.cutEverywhere(recording, () => ({ kind: 'drop' }), new SeededRandom(seed), 1);
      fs.rmSync(recording.directory, { recursive: true });
    },
  );

  it.each(seeds(['cut-1', 'cut-2']))(
    'lose nothing acknowledged when any part of it survives (seed %s)',
    async (seed) => {
      const recording = await cuts.record(seed, null);
      const random = new SeededRandom(`${seed} cut`);
      await cuts.cutEverywhere(recording, () => ({ kind: 'mixed', random }), random, 1);
      fs.rmSync(recording.directory, { recursive: true });
    },
  );
});

describe('a failing disk', () => {
  const seed = wanted ?? 'faults-2';
  // nothing is ever linked or emptied by a sealed store
  const usable = storeFaults.filter(({ call }) => call !== 'link' && call !== 'rmdir');

  it.each(usable)('leaves a store whole when the Nth $call fails with $systemCode', async (fault) => {
    let runs = 0;
    for (
      let count = 1;
      await failsOnce(sealedWorkload, seed, { ...fault, count });
      count += count < 5 ? 1 : 9
    ) {
      runs += 1;
    }
    expect(runs).toBeGreaterThan(0);
  });
});
