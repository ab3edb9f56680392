import { expect, it } from 'vitest';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';
import { failsOnce, storeFaults } from '../support/store-faults.ts';
import { imageOf, mirrorWorkload, perform, workloadFixture } from '../support/store-workload.ts';

/**
 * The invariant: whichever single call of the disk fails, the store says so with a code, takes nothing more after a
 * failure below a batch, and opened again it is what was acknowledged, or that and the operation that failed.
 */
const seed = process.env['MASTOKEEP_SEED'] ?? 'faults-3';

it.each(storeFaults)('stays whole when the Nth $call fails with $systemCode', async (fault) => {
  const stepAfter = 12;
  let runs = 0;
  for (
    let count = 1;
    await failsOnce(mirrorWorkload, seed, { ...fault, count });
    count += count < stepAfter ? 1 : 5
  ) {
    runs += 1;
  }
  expect(runs).toBeGreaterThan(0);
});

it('takes nothing more after a failed sync until it is opened again', async () => {
  const directory = memoryDirectory();
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
    perform(store, {
      do: 'send',
      indexId,
      sequence,
      changes: [['a', content, null]],
      missing: [],
      isHead: true,
    });
  await send(1, 'c1');
  fails = true;
  await expect(send(2, 'c2')).rejects.toMatchObject({ code: 'DISK_FAILED' });
  fails = false;
  expect(store.mustReopen).toBe(true);
  await expect(send(2, 'c2')).rejects.toThrow('opened again');
  await store.close();
  const again = await open();
  expect(imageOf(again).live).toEqual([['a', 'c1', '1:1']]);
  await again.close();
});
