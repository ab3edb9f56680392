import fs from 'node:fs';
import { it } from 'vitest';
import { SeededRandom } from '../support/seeded-random.ts';
import { PowerCuts } from '../support/store-power-cuts.ts';
import { mirrorWorkload } from '../support/store-workload.ts';

/**
 * The invariant: a power cut at any moment, whatever of the unsynced writes it keeps, leaves a store that opens as what
 * was acknowledged, or as that and the operation that was under way; with the database lost or from any earlier moment.
 */
const seeds = process.env['MASTOKEEP_SEED']?.split(',') ?? ['cut-1', 'cut-2', 'cut-3'];
const cuts = new PowerCuts(mirrorWorkload);

it.each(seeds)('loses nothing acknowledged when all that is unsynced is dropped (seed %s)', async (seed) => {
  const recording = await cuts.record(seed, null);
  await cuts.cutEverywhere(recording, () => ({ kind: 'drop' }), new SeededRandom(seed), 1);
  fs.rmSync(recording.directory, { recursive: true });
});

it.each(seeds)(
  'loses nothing acknowledged when any part of the unsynced survives (seed %s)',
  async (seed) => {
    const recording = await cuts.record(seed, null);
    const random = new SeededRandom(`${seed} cut`);
    await cuts.cutEverywhere(recording, () => ({ kind: 'mixed', random }), random, 1);
    fs.rmSync(recording.directory, { recursive: true });
  },
);

it.each(seeds)('believes nothing that a failed call left in memory (seed %s)', async (seed) => {
  const random = new SeededRandom(`${seed} failed call`);
  for (const call of ['syncData', 'syncDirectory', 'rename', 'mkdir', 'unlink'] as const) {
    for (let count = 1; count <= 25; count += 6) {
      const recording = await cuts.record(seed, { call, count, systemCode: 'EIO' });
      await cuts.cutEverywhere(recording, () => ({ kind: 'drop' }), random, 23);
      fs.rmSync(recording.directory, { recursive: true });
    }
  }
});
