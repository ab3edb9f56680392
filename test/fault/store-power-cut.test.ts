import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { RecordingDisk, type DiskOperation } from '../../shared/io/recording-disk.ts';
import { faultyDisk, type Fault } from '../support/faulty-disk.ts';
import { DiskModel, type PowerCut } from '../support/power-cut.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { memoryDirectory } from '../support/store-fixture.ts';
import { StoreModel, type StoreImage, type StoreOperation } from '../support/store-model.ts';
import {
  expectNothingLeftIncoming,
  expectTreesToMatch,
  imageOf,
  nextOperation,
  perform,
  removeDatabase,
  workloadFixture,
} from '../support/store-workload.ts';

/**
 * The invariant: a power cut at any moment, whatever of the unsynced writes it keeps, leaves a store that opens as what
 * was acknowledged, or as that and the operation that was under way; with the database lost or from any earlier moment.
 */
const seeds = process.env['MASTOKEEP_SEED']?.split(',') ?? ['cut-1', 'cut-2', 'cut-3'];
const operations = 9;

/** What may be found when the power goes after so many operations of the disk. */
type Moment = { traceLength: number; possible: StoreModel[]; databaseCopy: string | null };

type Recording = { directory: string; trace: readonly DiskOperation[]; moments: Moment[] };

it.each(seeds)('loses nothing acknowledged when all that is unsynced is dropped (seed %s)', async (seed) => {
  const recording = await record(seed, null);
  await cutEverywhere(recording, () => ({ kind: 'drop' }), new SeededRandom(seed), 1);
  fs.rmSync(recording.directory, { recursive: true });
});

it.each(seeds)(
  'loses nothing acknowledged when any part of the unsynced survives (seed %s)',
  async (seed) => {
    const recording = await record(seed, null);
    const random = new SeededRandom(`${seed} cut`);
    await cutEverywhere(recording, () => ({ kind: 'mixed', random }), random, 1);
    fs.rmSync(recording.directory, { recursive: true });
  },
);

it.each(seeds)('believes nothing that a failed call left in memory (seed %s)', async (seed) => {
  const random = new SeededRandom(`${seed} failed call`);
  for (const call of ['syncData', 'syncDirectory', 'rename', 'mkdir', 'unlink'] as const) {
    for (let count = 1; count <= 25; count += 6) {
      const recording = await record(seed, { call, count, systemCode: 'EIO' });
      await cutEverywhere(recording, () => ({ kind: 'drop' }), random, 23);
      fs.rmSync(recording.directory, { recursive: true });
    }
  }
});

/** Runs a workload and notes what was acknowledged when; after a fault the store is opened again, as a receiver does. */
async function record(seed: string, fault: Fault | null): Promise<Recording> {
  const directory = memoryDirectory();
  const failing = fault === null ? nodeDisk : faultyDisk(nodeDisk, fault).disk;
  const disk = new RecordingDisk(failing);
  const { open, databasePath } = workloadFixture(directory, { disk });
  const random = new SeededRandom(seed);
  const moments: Moment[] = [];
  let possible = [new StoreModel()];
  const note = (next: StoreModel[]): void => {
    possible = next;
    moments.push({
      traceLength: disk.trace.length,
      possible,
      databaseCopy: copyDatabase(databasePath, moments.length),
    });
  };
  const openAgain = async (): ReturnType<typeof open> => {
    for (;;) {
      try {
        return await open();
      } catch (error) {
        if (!isCoded(error, 'DISK_FAILED')) throw error;
      }
    }
  };
  note(possible);
  let store = await openAgain();
  for (let at = 0; at < operations; at += 1) {
    const operation: StoreOperation =
      at === 6 ? { do: 'reopen', losingDatabase: false } : nextOperation(random, store);
    note(possible.flatMap((model) => [model, model.apply(operation)]));
    try {
      if (operation.do === 'reopen') {
        await store.close();
        if (operation.losingDatabase) removeDatabase(databasePath);
        store = await openAgain();
      } else {
        await perform(store, operation);
      }
      note(possible.slice(-1));
    } catch (error) {
      if (!isCoded(error, 'DISK_FAILED')) throw error;
      await store.close();
      store = await openAgain();
      note([matching(possible, imageOf(store), `${seed} ${JSON.stringify(fault)}`)]);
    }
  }
  await store.close();
  return { directory, trace: disk.trace, moments };
}

async function cutEverywhere(
  { directory, trace, moments }: Recording,
  cutAt: () => PowerCut,
  random: SeededRandom,
  step: number,
): Promise<void> {
  const model = new DiskModel(directory);
  for (const [at, operation] of trace.entries()) {
    model.apply(operation);
    if (at % step !== step - 1) continue;
    const past = moments.filter(({ traceLength }) => traceLength <= at + 1);
    const { databaseCopy } = random.pick(past);
    const cut = cutAt();
    const place = memoryDirectory();
    model.materialise(place, cut);
    const fixture = workloadFixture(place);
    if (random.chance(0.5) && databaseCopy !== null) fs.cpSync(databaseCopy, place, { recursive: true });
    const story = `${cut.kind} after ${at} ${operation.call}`;
    try {
      await expectRecovery(fixture, past.at(-1)?.possible ?? [], cut.kind === 'mixed', story);
    } catch (error) {
      throw new Error(`${story}: what was left is in ${place}, with MASTOKEEP_KEEP=1`, { cause: error });
    }
    fs.rmSync(place, { recursive: true });
  }
}

async function expectRecovery(
  { open, root }: ReturnType<typeof workloadFixture>,
  possible: StoreModel[],
  partly: boolean,
  story: string,
): Promise<void> {
  const store = await open();
  try {
    const image = imageOf(store);
    const whole = possible.find((model) => JSON.stringify(model.image()) === JSON.stringify(image));
    if (whole === undefined) {
      if (partly) expectPartOf(image, possible, story);
      else expect(image, story).toEqual(possible.at(-1)?.image());
    }
    expectTreesToMatch(store, root);
    expectNothingLeftIncoming(root);
  } finally {
    await store.close();
  }
}

/** Where the disk kept a name and not the content, a batch may be there in part, and then its position is not. */
function expectPartOf(image: StoreImage, possible: StoreModel[], story: string): void {
  const images = possible.map((model) => model.image());
  expect(image.position, story).toEqual(images[0]?.position);
  const paths = new Set(
    [...images, image].flatMap(({ live, versions }) => [...live, ...versions].map(([name]) => name)),
  );
  for (const name of paths) {
    expect(
      images.map((one) => stateAt(one, name)),
      `${story}: ${name}`,
    ).toContainEqual(stateAt(image, name));
  }
}

function stateAt({ live, versions }: StoreImage, wanted: string): unknown {
  return [live.find(([name]) => name === wanted)?.[1], versions.find(([name]) => name === wanted)?.[1]];
}

function matching(models: StoreModel[], image: StoreImage, story: string): StoreModel {
  const model = models.find((candidate) => JSON.stringify(candidate.image()) === JSON.stringify(image));
  if (model === undefined) expect(image, story).toEqual(models.at(-1)?.image());
  return model ?? new StoreModel();
}

function copyDatabase(databasePath: string, number: number): string | null {
  if (!fs.existsSync(databasePath)) return null;
  const copy = path.join(path.dirname(databasePath), `copy-${number}`);
  fs.mkdirSync(copy);
  for (const suffix of ['', '-wal']) {
    const file = databasePath + suffix;
    if (fs.existsSync(file)) fs.copyFileSync(file, path.join(copy, path.basename(file)));
  }
  return copy;
}
