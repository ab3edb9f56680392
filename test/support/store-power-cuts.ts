import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { RecordingDisk, type DiskOperation } from '../../shared/io/recording-disk.ts';
import { faultyDisk, type Fault } from './faulty-disk.ts';
import { DiskModel, type PowerCut } from './power-cut.ts';
import { SeededRandom } from './seeded-random.ts';
import { memoryDirectory } from './temporary-directory.ts';
import { isReopening } from './store-faults.ts';
import {
  expectNothingLeftIncoming,
  matching,
  removeDatabase,
  type AnyStore,
  type Reopening,
  type StoreWorkload,
  type WorkloadFixture,
  type WorkloadModel,
} from './store-harness.ts';

const operations = 9;

/** What may be found when the power goes after so many operations of the disk. */
type Moment<Model> = { traceLength: number; possible: Model[]; databaseCopy: string | null };

type Recording<Model> = { directory: string; trace: readonly DiskOperation[]; moments: Moment<Model>[] };

/** Records workloads of a store and cuts the power at every moment of them. */
export class PowerCuts<Store extends AnyStore, Operation extends { do: string }, Image> {
  readonly #workload: StoreWorkload<Store, Operation, Image>;

  constructor(workload: StoreWorkload<Store, Operation, Image>) {
    this.#workload = workload;
  }

  /** Runs a workload and notes what was acknowledged when; after a fault the store is opened again, as a receiver does. */
  async record(seed: string, fault: Fault | null): Promise<Recording<WorkloadModel<Operation, Image>>> {
    const { imageOf } = this.#workload;
    const directory = memoryDirectory();
    const failing = fault === null ? nodeDisk : faultyDisk(nodeDisk, fault).disk;
    const disk = new RecordingDisk(failing);
    const { open, databasePath } = this.#workload.fixture(directory, { disk });
    const random = new SeededRandom(seed);
    const moments: Moment<WorkloadModel<Operation, Image>>[] = [];
    let possible = [this.#workload.model()];
    const note = (next: WorkloadModel<Operation, Image>[]): void => {
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
      const operation: Operation | Reopening =
        at === 6 ? { do: 'reopen', losingDatabase: false } : this.#workload.nextOperation(random, store);
      note(isReopening(operation) ? possible : possible.flatMap((model) => [model, model.apply(operation)]));
      try {
        if (isReopening(operation)) {
          await store.close();
          if (operation.losingDatabase) removeDatabase(databasePath);
          store = await openAgain();
        } else {
          await this.#workload.perform(store, operation);
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

  /** Cuts the power after every `step`th operation of the disk and opens what is left. */
  async cutEverywhere(
    { directory, trace, moments }: Recording<WorkloadModel<Operation, Image>>,
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
      const fixture = this.#workload.fixture(place);
      if (random.chance(0.5) && databaseCopy !== null) fs.cpSync(databaseCopy, place, { recursive: true });
      const story = `${cut.kind} after ${at} ${operation.call}`;
      try {
        await this.#expectRecovery(fixture, past.at(-1)?.possible ?? [], cut.kind === 'mixed', story);
      } catch (error) {
        throw new Error(`${story}: what was left is in ${place}, with MASTOKEEP_KEEP=1`, { cause: error });
      }
      fs.rmSync(place, { recursive: true });
    }
  }

  async #expectRecovery(
    { open, root }: WorkloadFixture<Store>,
    possible: WorkloadModel<Operation, Image>[],
    partly: boolean,
    story: string,
  ): Promise<void> {
    const store = await open();
    try {
      const image = this.#workload.imageOf(store);
      const whole = possible.find((model) => JSON.stringify(model.image()) === JSON.stringify(image));
      if (whole === undefined) {
        if (partly)
          this.#workload.expectPartOf(
            image,
            possible.map((model) => model.image()),
            story,
          );
        else expect(image, story).toEqual(possible.at(-1)?.image());
      }
      this.#workload.expectTreesToMatch(store, root);
      expectNothingLeftIncoming(root);
    } finally {
      await store.close();
    }
  }
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
