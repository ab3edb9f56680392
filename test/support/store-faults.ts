import fs from 'node:fs';
import { expect } from 'vitest';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { faultyCalls, faultyDisk, type Fault } from './faulty-disk.ts';
import { SeededRandom } from './seeded-random.ts';
import { memoryDirectory } from './temporary-directory.ts';
import {
  expectNothingLeftIncoming,
  expectRebuildToMatch,
  matching,
  type AnyStore,
  type Reopening,
  type StoreWorkload,
} from './store-harness.ts';

const operations = 10;

/** Every call of the disk, failing with an error of the device or for lack of space. */
export const storeFaults: Omit<Fault, 'count'>[] = faultyCalls.map((call) => ({ call, systemCode: 'EIO' }));
for (const call of ['write', 'open', 'link', 'mkdir', 'rename', 'syncData'] as const) {
  storeFaults.push({ call, systemCode: 'ENOSPC' });
}

/** Runs a workload with the fault; false when it was never reached. */
export async function failsOnce<Store extends AnyStore, Operation extends { do: string }, Image>(
  workload: StoreWorkload<Store, Operation, Image>,
  seed: string,
  fault: Fault,
): Promise<boolean> {
  const { imageOf } = workload;
  const directory = memoryDirectory();
  const faulty = faultyDisk(nodeDisk, fault);
  const failing = workload.fixture(directory, { disk: faulty.disk });
  const healthy = workload.fixture(directory);
  const random = new SeededRandom(seed);
  const story = `${seed}: ${fault.call} ${fault.count} ${fault.systemCode}`;
  let possible = [workload.model()];
  let store: Store | null = null;
  for (let at = 0; at < operations; at += 1) {
    try {
      store ??= await failing.open();
      const operation = workload.nextOperation(random, store);
      if (isReopening(operation)) {
        await store.close();
        store = null;
        store = await failing.open();
        continue;
      }
      possible = possible.flatMap((model) => [model, model.apply(operation)]);
      await workload.perform(store, operation);
      possible = possible.slice(-1);
      expect(imageOf(store), story).toEqual(possible[0]?.image());
    } catch (error) {
      expect(codeOf(error), story).toBe(fault.systemCode === 'EIO' ? 'DISK_FAILED' : 'STORE_FULL');
      await store?.close();
      store = await healthy.open();
      possible = [matching(possible, imageOf(store), story)];
      workload.expectTreesToMatch(store, healthy.root);
      expectNothingLeftIncoming(healthy.root);
    }
  }
  await store?.close();
  await expectRebuildToMatch(healthy, workload.tables);
  fs.rmSync(directory, { recursive: true });
  return faulty.hasFailed();
}

function codeOf(error: unknown): string {
  if (!isCoded(error)) throw error;
  return error.code;
}

export function isReopening(operation: { do: string }): operation is Reopening {
  return operation.do === 'reopen';
}
