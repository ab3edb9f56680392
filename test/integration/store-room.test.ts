import fs from 'node:fs';
import { expect, it } from 'vitest';
import { AgentQuota, recordBytes } from '../../receiver/store/agent-quota.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { FeedFake, fileState, readTree, sha256, symlinkState } from '../support/store-fixture.ts';
import { openedStore } from '../support/opened-store.ts';
import { sealedStoreFixture } from '../support/sealed-store-fixture.ts';

it('refuses at the quota of the agent, across its folders, and removes nothing', async () => {
  const quota = new AgentQuota({ bytesMax: 25 + 3 * recordBytes, sealedReserve: 0 });
  const first = await openedStore(undefined, { quota });
  const second = await openedStore(undefined, { quota });
  await first.feed.send({ a: 'ten bytes.' });
  await first.feed.send({ a: 'TEN BYTES.' });
  await expect(second.feed.send({ b: 'six.bytes'.repeat(recordBytes) })).rejects.toMatchObject({
    code: 'QUOTA_REACHED',
  });
  await second.feed.send({ b: 'five.' });
  expect(quota.usedBytes()).toBe(25 + 3 * recordBytes);
  expect(() => second.store.openPartial(sha256('x'), 1)).toThrowError(
    expect.objectContaining({ code: 'QUOTA_REACHED' }),
  );
  expect(readTree(`${first.root}/versions`).size).toBe(1);
});

it('refuses records without bytes at the quota, and still takes deletions and metadata', async () => {
  const quota = new AgentQuota({ bytesMax: 10 * recordBytes, sealedReserve: 0 });
  const { feed, store } = await openedStore(undefined, { quota });
  const refused: unknown = expect.objectContaining({ code: 'QUOTA_REACHED' });
  for (let count = 0; count < 9; count += 1) await feed.send({ [`link ${count}`]: symlinkState('x') });
  await feed.send({ empty: fileState('') });
  await expect(feed.send({ more: symlinkState('x') })).rejects.toThrowError(refused);
  feed.sequence -= 1;
  await expect(feed.send({ 'link 0': symlinkState('other target') })).rejects.toThrowError(refused);
  feed.sequence -= 1;
  await feed.send({ empty: { ...fileState(''), mode: 0o600 } });
  await feed.send({ 'link 0': null, empty: null });
  expect(quota.usedBytes()).toBe(10 * recordBytes);
  await expect(feed.send({ 'link 0': symlinkState('x') })).rejects.toThrowError(refused);
  expect(store.usage()).toEqual({ files: 0, bytes: 0, versions: 2, versionBytes: 0 });
});

it('refuses below the free-space floor and goes on when there is room again', async () => {
  const space = { totalBytes: 1000, freeBytes: 60 };
  const disk = { ...nodeDisk, space: () => ({ ...space }) };
  const { feed, store } = await openedStore(undefined, { disk }, { freeSpaceFloor: 0.05 });
  await feed.send({ a: '0123456789' });
  space.freeBytes = 50;
  expect(() => store.stage(sha256('more'), Buffer.from('more'))).toThrowError(
    expect.objectContaining({
      code: 'STORE_FULL',
      message: '4 B more would leave less than 5 % of the disk free',
    }),
  );
  await feed.send({ a: null });
  space.freeBytes = 1000;
  await feed.send({ b: 'more' });
});

it('refuses deletions too when the journal would eat up the floor', async () => {
  const space = { totalBytes: 1000, freeBytes: 60 };
  const disk = { ...nodeDisk, space: () => ({ ...space }) };
  const { feed, open, store } = await openedStore(undefined, { disk }, { freeSpaceFloor: 0.05 });
  await feed.send({ a: '0123456789' });
  await store.close();
  space.freeBytes = 20;
  const reopened = await open();
  const again = new FeedFake(() => reopened);
  again.sequence = feed.sequence;
  await expect(again.send({ a: null })).rejects.toMatchObject({
    code: 'STORE_FULL',
    message: 'the disk has less than 5 % free',
  });
});

it('counts partial content, also that of an earlier run, and never keeps more of it than the quota', async () => {
  const quota = new AgentQuota({ bytesMax: 10_000, sealedReserve: 0 });
  const { store, open, root } = await openedStore(undefined, { quota });
  const bytesOnDisk = (): number =>
    fs
      .readdirSync(`${root}/incoming`)
      .reduce((sum, name) => sum + fs.statSync(`${root}/incoming/${name}`).size, 0);
  const begin = (name: string) => {
    const partial = store.openPartial(sha256(name), 5000);
    partial.write(0, Buffer.alloc(4000));
    return partial;
  };
  for (let count = 0; count < 20; count += 1) {
    begin(`abandoned ${count}`).close();
    expect(bytesOnDisk()).toBeLessThanOrEqual(10_000);
  }
  expect(quota.usedBytes()).toBe(bytesOnDisk());
  const open4000 = [begin('one'), begin('two')];
  expect(() => begin('three')).toThrowError(expect.objectContaining({ code: 'QUOTA_REACHED' }));
  expect(bytesOnDisk()).toBe(8000);
  for (const partial of open4000) partial.close();
  store.openPartial(sha256('empty'), 1).close();
  await store.close();
  await open();
  expect(quota.usedBytes()).toBe(8000);
  expect(fs.readdirSync(`${root}/incoming`)).toHaveLength(2);
});

it('gives up partial content, the oldest first, for content that needs the room, in another folder too', async () => {
  const quota = new AgentQuota({ bytesMax: 10_000, sealedReserve: 0 });
  const first = await openedStore(undefined, { quota });
  const second = await openedStore(undefined, { quota });
  for (const name of ['old', 'new']) {
    const partial = first.store.openPartial(sha256(name), 4000);
    partial.write(0, Buffer.alloc(3000));
    partial.close();
  }
  second.store.stage(sha256('x'.repeat(6000)), Buffer.from('x'.repeat(6000)));
  expect(fs.readdirSync(`${first.root}/incoming`)).toEqual([`${sha256('new').toString('hex')}.part`]);
  expect(quota.usedBytes()).toBe(9000);
});

it('gives up partial content at the free-space floor too, and nothing of another agent', async () => {
  const space = { totalBytes: 100_000, freeBytes: 11_000 };
  const disk = {
    ...nodeDisk,
    space: () => ({ ...space }),
    unlink: (place: string) => {
      if (place.endsWith('.part')) space.freeBytes += nodeDisk.stat(place)?.size ?? 0;
      nodeDisk.unlink(place);
    },
  };
  const agent = new AgentQuota({ bytesMax: null, sealedReserve: 0 });
  const limits = { freeSpaceFloor: 0.05 };
  const first = await openedStore(undefined, { disk, quota: agent }, limits);
  const second = await openedStore(undefined, { disk, quota: agent }, limits);
  const stranger = await openedStore(undefined, { disk }, limits);
  const leave = (store: MirrorStore, name: string): void => {
    const partial = store.openPartial(sha256(name), 2000);
    partial.write(0, Buffer.alloc(2000));
    partial.close();
    space.freeBytes -= 2000;
  };
  leave(stranger.store, 'of a stranger');
  leave(first.store, 'old');
  leave(first.store, 'new');
  const content = Buffer.from('x'.repeat(1500));
  second.store.stage(sha256(content), content);
  const partials = (root: string): number =>
    fs.readdirSync(`${root}/incoming`).filter((name) => name.endsWith('.part')).length;
  expect([partials(first.root), partials(stranger.root)]).toEqual([1, 1]);
  expect(() => second.store.assertRoom(6000)).toThrowError(expect.objectContaining({ code: 'STORE_FULL' }));
  expect([partials(first.root), partials(stranger.root)]).toEqual([0, 1]);
});

it('begins no large content whose rest has no room above the floor, and keeps the part that it has', async () => {
  const space = { totalBytes: 100_000, freeBytes: 9000 };
  const disk = { ...nodeDisk, space: () => ({ ...space }) };
  const { store, root, open } = await openedStore(undefined, { disk }, { freeSpaceFloor: 0.05 });
  const part = store.openPartial(sha256('large'), 3000);
  part.write(0, Buffer.alloc(1000));
  part.close();
  await store.close();
  space.freeBytes = 6000;
  const again = await open();
  const openAll = (): unknown => again.openPartial(sha256('large'), 3000);
  expect(openAll).toThrowError(expect.objectContaining({ code: 'STORE_FULL' }));
  expect(fs.readdirSync(`${root}/incoming`)).toHaveLength(1);
});

it('refuses mirrors first: the reserve of the quota is for sealed folders', async () => {
  const quota = new AgentQuota({ bytesMax: 100_000, sealedReserve: 0.1 });
  const { store, feed } = await openedStore(undefined, { quota });
  const sealed = await sealedStoreFixture(undefined, { quota }).open();
  try {
    await feed.send({ a: 'a'.repeat(90_000 - recordBytes) });
    const more = { code: 'QUOTA_REACHED', message: expect.stringContaining('9.77 KiB are kept') as unknown };
    await expect(feed.send({ b: symlinkState('x') })).rejects.toMatchObject(more);
    expect(() => store.assertRoom(1)).toThrowError(expect.objectContaining(more));
    expect(() => store.openPartial(sha256('large'), 1)).toThrowError(expect.objectContaining(more));
    sealed.assertRoom(10_000);
    sealed.stage(sha256('s'.repeat(9000)), Buffer.from('s'.repeat(9000)));
    expect(() => sealed.assertRoom(1001)).toThrowError(expect.objectContaining({ code: 'QUOTA_REACHED' }));
  } finally {
    await sealed.close();
  }
});

it('says at the quota in sizes that people read what is used, what is kept for dumps, and what does not fit', () => {
  const quota = new AgentQuota({ bytesMax: 5_000_000, sealedReserve: 0.1 });
  for (const kind of ['mirror', 'sealed'] as const)
    quota.forFolders(kind).add({ usedBytes: () => 2_000_000, giveUp: () => {} });
  const messageOf = (kind: 'mirror' | 'sealed', bytes: number): string => {
    try {
      quota.forFolders(kind).assertRoom(bytes);
      return 'fits';
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect([500_000, 500_001].map((bytes) => messageOf('mirror', bytes))).toEqual([
    'fits',
    'the agent uses 3.81 MiB of its quota of 4.77 MiB, of which 488 KiB are kept for sealed folders: 488 KiB more do not fit',
  ]);
  expect([1_000_000, 1_000_001].map((bytes) => messageOf('sealed', bytes))).toEqual([
    'fits',
    'the agent uses 3.81 MiB of its quota of 4.77 MiB: 977 KiB more do not fit',
  ]);
});
