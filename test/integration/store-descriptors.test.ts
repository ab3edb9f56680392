import fs from 'node:fs';
import { expect, it } from 'vitest';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { faultyCalls, faultyDisk } from '../support/faulty-disk.ts';
import { FeedFake, storeFixture } from '../support/store-fixture.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const openDescriptors = (): number => fs.readdirSync('/proc/self/fd').length;

it.each(faultyCalls)(
  'leaves nothing open where a failing %s keeps a store from being opened',
  async (call) => {
    const directory = memoryDirectory();
    const { open, root } = storeFixture(directory);
    const whole = await open();
    await new FeedFake(() => whole).send({ a: 'one', 'b/c': 'two' });
    await whole.close();
    fs.writeFileSync(`${root}/incoming/left`, 'by an earlier run');
    // a line before the last one is damaged, so that the journal is written anew
    const segment = `${root}/journal/000001.journal`;
    const journal = fs.readFileSync(segment, 'utf8');
    const before = openDescriptors();
    let failed = 0;
    for (let count = 1; count < 200; count += 1) {
      fs.writeFileSync(segment, journal.replace('"intent"', '"tnetni"'));
      const { disk, hasFailed } = faultyDisk(nodeDisk, { call, count, systemCode: 'EIO' });
      const store = await storeFixture(directory, { disk })
        .open()
        .catch(() => null);
      if (store === null) failed += 1;
      await store?.close();
      expect(openDescriptors(), `${call} ${count}`).toBe(before);
      if (!hasFailed()) break;
    }
    if (['open', 'write', 'syncData', 'list'].includes(call)) expect(failed).toBeGreaterThan(0);
  },
);

it.each(['write', 'syncData'] as const)(
  'leaves nothing open where a failing %s keeps a new store from being made',
  async (call) => {
    const before = openDescriptors();
    let failed = 0;
    for (let count = 1; count < 20; count += 1) {
      const { disk, hasFailed } = faultyDisk(nodeDisk, { call, count, systemCode: 'ENOSPC' });
      const store = await storeFixture(memoryDirectory(), { disk })
        .open()
        .catch(() => null);
      if (store === null) failed += 1;
      await store?.close();
      expect(openDescriptors(), `${call} ${count}`).toBe(before);
      if (!hasFailed()) break;
    }
    expect(failed).toBeGreaterThan(1);
  },
);

it('leaves its directory to another opener also where its journal cannot be closed', async () => {
  const directory = memoryDirectory();
  let isDying = false;
  const disk = Object.assign(Object.create(nodeDisk) as typeof nodeDisk, {
    close: (fd: number) => {
      nodeDisk.close(fd);
      if (isDying) throw new Error('EIO');
    },
  });
  const store = await storeFixture(directory, { disk }).open();
  await new FeedFake(() => store).send({ a: 'one' });
  isDying = true;
  await expect(store.close()).rejects.toThrow('EIO');
  const again = await storeFixture(directory).open();
  expect(again.usage().files).toBe(1);
  await again.close();
});
