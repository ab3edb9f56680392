import fs from 'node:fs';
import { expect, it } from 'vitest';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { faultyCalls, faultyDisk, type Fault } from '../support/faulty-disk.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { temporaryDirectory } from '../support/store-fixture.ts';
import { StoreModel, type StoreImage } from '../support/store-model.ts';
import {
  expectNothingLeftIncoming,
  expectRebuildToMatch,
  expectTreesToMatch,
  imageOf,
  nextOperation,
  perform,
  workloadFixture,
} from '../support/store-workload.ts';

/**
 * The invariant: whichever single call of the disk fails, the store says so with a code, takes nothing more after a
 * failure below a batch, and opened again it is what was acknowledged, or that and the operation that failed.
 */
const seed = process.env['MASTOKEEP_SEED'] ?? 'faults-3';
const operations = 10;

const faults: Omit<Fault, 'count'>[] = faultyCalls.map((call) => ({ call, systemCode: 'EIO' }));
for (const call of ['write', 'open', 'link', 'mkdir', 'rename', 'syncData'] as const) {
  faults.push({ call, systemCode: 'ENOSPC' });
}

it.each(faults)('stays whole when the Nth $call fails with $systemCode', async (fault) => {
  const stepAfter = 12;
  let runs = 0;
  for (let count = 1; await failsOnce({ ...fault, count }); count += count < stepAfter ? 1 : 5) runs += 1;
  expect(runs).toBeGreaterThan(0);
});

/** Runs a workload with the fault; false when it was never reached. */
async function failsOnce(fault: Fault): Promise<boolean> {
  const directory = temporaryDirectory();
  const faulty = faultyDisk(nodeDisk, fault);
  const failing = workloadFixture(directory, { disk: faulty.disk });
  const healthy = workloadFixture(directory);
  const random = new SeededRandom(seed);
  const story = `${seed}: ${fault.call} ${fault.count} ${fault.systemCode}`;
  let possible = [new StoreModel()];
  let store: MirrorStore | null = null;
  for (let at = 0; at < operations; at += 1) {
    try {
      store ??= await failing.open();
      const operation = nextOperation(random, store);
      if (operation.do === 'reopen') {
        await store.close();
        store = null;
        store = await failing.open();
        continue;
      }
      possible = possible.flatMap((model) => [model, model.apply(operation)]);
      await perform(store, operation);
      possible = possible.slice(-1);
      expect(imageOf(store), story).toEqual(possible[0]?.image());
    } catch (error) {
      expect(codeOf(error), story).toBe(fault.systemCode === 'EIO' ? 'DISK_FAILED' : 'STORE_FULL');
      await store?.close();
      store = await healthy.open();
      possible = [matching(possible, imageOf(store), story)];
      expectTreesToMatch(store, healthy.root);
      expectNothingLeftIncoming(healthy.root);
    }
  }
  await store?.close();
  await expectRebuildToMatch(directory);
  fs.rmSync(directory, { recursive: true });
  return faulty.hasFailed();
}

function codeOf(error: unknown): string {
  if (!isCoded(error)) throw error;
  return error.code;
}

function matching(models: StoreModel[], image: StoreImage, story: string): StoreModel {
  const model = models.find((candidate) => JSON.stringify(candidate.image()) === JSON.stringify(image));
  if (model === undefined) expect(image, story).toEqual(models.at(-1)?.image());
  return model ?? new StoreModel();
}

it('takes nothing more after a failed sync until it is opened again', async () => {
  const directory = temporaryDirectory();
  let fails = false;
  const disk = {
    ...nodeDisk,
    syncData: async (fd: number) => {
      if (fails) throw new CodedError('DISK_FAILED', 'the disk refused fdatasync');
      await nodeDisk.syncData(fd);
    },
  };
  const { open } = workloadFixture(directory, { disk });
  const store = await open();
  const indexId = 'aaaaaaaaaaaaaaaa';
  const send = (sequence: number, content: string) =>
    perform(store, { do: 'send', indexId, sequence, changes: [['a', content]], missing: [] });
  await send(1, 'c1');
  fails = true;
  await expect(send(2, 'c2')).rejects.toMatchObject({ code: 'DISK_FAILED' });
  fails = false;
  expect(store.mustReopen).toBe(true);
  await expect(send(2, 'c2')).rejects.toThrow('opened again');
  await store.close();
  const again = await open();
  expect(imageOf(again).live).toEqual([['a', 'c1']]);
  await again.close();
});
