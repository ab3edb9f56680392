import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { AgentQuota, recordBytes } from '../../receiver/store/agent-quota.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { probeFilesystem } from '../../receiver/store/probe-filesystem.ts';
import { diskError } from '../../shared/io/disk.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { parseRelativePath, parseTypedPath, type RelativePath } from '../../shared/records/relative-path.ts';
import {
  FeedFake,
  fileState,
  indexA,
  readTree,
  sha256,
  storeFixture,
  symlinkState,
} from '../support/store-fixture.ts';
import { sealedStoreFixture } from '../support/sealed-store-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const stores: MirrorStore[] = [];

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
});

async function opened(...fixture: Parameters<typeof storeFixture>) {
  const { open, root } = storeFixture(...fixture);
  const store = await open();
  stores.push(store);
  return { store, root, open, feed: new FeedFake(() => store) };
}

it('refuses at the quota of the agent, across its folders, and removes nothing', async () => {
  const quota = new AgentQuota({ bytesMax: 25 + 3 * recordBytes, sealedReserve: 0 });
  const first = await opened(undefined, { quota });
  const second = await opened(undefined, { quota });
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
  const { feed, store } = await opened(undefined, { quota });
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
  const { feed, store } = await opened(undefined, { disk }, { freeSpaceFloor: 0.05 });
  await feed.send({ a: '0123456789' });
  space.freeBytes = 50;
  expect(() => store.stage(sha256('more'), Buffer.from('more'))).toThrowError(
    expect.objectContaining({
      code: 'STORE_FULL',
      message: '4 bytes more would leave less than 5 % of the disk free',
    }),
  );
  await feed.send({ a: null });
  space.freeBytes = 1000;
  await feed.send({ b: 'more' });
});

it('refuses deletions too when the journal would eat up the floor', async () => {
  const space = { totalBytes: 1000, freeBytes: 60 };
  const disk = { ...nodeDisk, space: () => ({ ...space }) };
  const { feed, open, store } = await opened(undefined, { disk }, { freeSpaceFloor: 0.05 });
  await feed.send({ a: '0123456789' });
  await store.close();
  space.freeBytes = 20;
  const reopened = await open();
  stores.push(reopened);
  const again = new FeedFake(() => reopened);
  again.sequence = feed.sequence;
  await expect(again.send({ a: null })).rejects.toMatchObject({
    code: 'STORE_FULL',
    message: 'the disk has less than 5 % free',
  });
});

it('takes no content that differs from its hash', async () => {
  const { store, root } = await opened();
  const mismatch: unknown = expect.objectContaining({ code: 'CONTENT_MISMATCH' });
  expect(() => store.stage(sha256('right'), Buffer.from('wrong'))).toThrowError(mismatch);
  const partial = store.openPartial(sha256('right'), 5);
  partial.write(0, Buffer.from('wrong'));
  await expect(partial.finish()).rejects.toThrowError(mismatch);
  expect(fs.readdirSync(`${root}/incoming`)).toEqual([]);
  const record = { path: parseTypedPath('a'), sequence: 1, replaces: null, state: fileState('right') };
  const batch = { indexId: indexA, records: [record], missing: [], through: 1, token: Buffer.alloc(32) };
  await expect(store.commit(batch)).rejects.toThrowError(mismatch);
  store.stage(sha256('right'), Buffer.from('right'));
  await store.commit(batch);
});

it('takes no record that lies about the size of its content', async () => {
  const { store } = await opened();
  const states = [fileState('right'), { ...fileState('right'), size: 1 }];
  const records = states.map((state, at) => ({
    path: parseTypedPath(`file ${at}`),
    sequence: at + 1,
    replaces: null,
    state,
  }));
  const commit = (count: number) =>
    store.commit({
      indexId: indexA,
      records: records.slice(0, count),
      missing: [],
      through: 2,
      token: Buffer.alloc(32),
    });
  store.stage(sha256('right'), Buffer.from('right'));
  await expect(commit(2)).rejects.toMatchObject({
    code: expect.stringMatching(/PROTOCOL|CONTENT/) as unknown,
  });
  await commit(1);
  expect(store.usage()).toMatchObject({ files: 1, bytes: 5 });
});

it('keeps content that arrived in part over a restart', async () => {
  const { store, open, root } = await opened();
  const content = Buffer.from('first half, second half');
  const partial = store.openPartial(sha256(content), content.length);
  partial.write(0, content.subarray(0, 11));
  partial.close();
  store.stage(sha256('left over'), Buffer.from('left over'));
  await store.close();
  const again = await open();
  stores.push(again);
  const rest = again.openPartial(sha256(content), content.length);
  expect(rest.size).toBe(11);
  expect(rest.read(6, 100).toString()).toBe('half,');
  rest.write(11, content.subarray(11));
  await rest.finish();
  const record = { path: parseTypedPath('a'), sequence: 1, replaces: null, state: fileState(content) };
  await again.commit({ indexId: indexA, records: [record], missing: [], through: 1, token: Buffer.alloc(0) });
  expect(readTree(`${root}/current`).get('a')).toEqual(content);
  expect(fs.readdirSync(`${root}/incoming`)).toEqual([]);
});

it('counts partial content, also that of an earlier run, and never keeps more of it than the quota', async () => {
  const quota = new AgentQuota({ bytesMax: 10_000, sealedReserve: 0 });
  const { store, open, root } = await opened(undefined, { quota });
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
  stores.push(await open());
  expect(quota.usedBytes()).toBe(8000);
  expect(fs.readdirSync(`${root}/incoming`)).toHaveLength(2);
});

it('gives up partial content, the oldest first, for content that needs the room, in another folder too', async () => {
  const quota = new AgentQuota({ bytesMax: 10_000, sealedReserve: 0 });
  const first = await opened(undefined, { quota });
  const second = await opened(undefined, { quota });
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
  const first = await opened(undefined, { disk, quota: agent }, limits);
  const second = await opened(undefined, { disk, quota: agent }, limits);
  const stranger = await opened(undefined, { disk }, limits);
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
  const { store, root, open } = await opened(undefined, { disk }, { freeSpaceFloor: 0.05 });
  const part = store.openPartial(sha256('large'), 3000);
  part.write(0, Buffer.alloc(1000));
  part.close();
  await store.close();
  space.freeBytes = 6000;
  const again = await open();
  stores.push(again);
  const openAll = (): unknown => again.openPartial(sha256('large'), 3000);
  expect(openAll).toThrowError(expect.objectContaining({ code: 'STORE_FULL' }));
  expect(fs.readdirSync(`${root}/incoming`)).toHaveLength(1);
});

it('refuses mirrors first: the reserve of the quota is for sealed folders', async () => {
  const quota = new AgentQuota({ bytesMax: 100_000, sealedReserve: 0.1 });
  const { store, feed } = await opened(undefined, { quota });
  const sealed = await sealedStoreFixture(undefined, { quota }).open();
  try {
    await feed.send({ a: 'a'.repeat(90_000 - recordBytes) });
    const more = { code: 'QUOTA_REACHED', message: expect.stringContaining('10000 are kept') as unknown };
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

it('removes old partial content while it runs, but none in use', async () => {
  const { store, root } = await opened();
  const used = store.openPartial(sha256('used'), 4);
  const abandoned = store.openPartial(sha256('abandoned'), 9);
  for (const partial of [used, abandoned]) partial.write(0, Buffer.from('a'));
  abandoned.close();
  await store.expire(Date.now() + 6 * 86_400_000);
  expect(fs.readdirSync(`${root}/incoming`)).toHaveLength(2);
  await store.expire(Date.now() + 8 * 86_400_000);
  expect(fs.readdirSync(`${root}/incoming`)).toEqual([`${sha256('used').toString('hex')}.part`]);
  used.close();
});

it('makes plain files and directories only, with the time of the source', async () => {
  const { feed, root } = await opened();
  const state = { ...fileState('#!/bin/sh'), mode: 0o4755, uid: 0, gid: 0 };
  await feed.send({ 'bin/tool': '#!/bin/sh' });
  await feed.send({ 'bin/tool': state });
  const stat = fs.statSync(`${root}/current/bin/tool`);
  expect(stat.mode & 0o7777).toBe(0o640 & ~process.umask());
  expect(Math.trunc(stat.mtimeMs / 1000)).toBe(1_700_000_000);
  expect(fs.statSync(`${root}/current/bin`).mode & 0o7777).toBe(0o750 & ~process.umask());
});

it('writes nothing through a link that somebody planted', async () => {
  const { feed, root } = await opened();
  const outside = temporaryDirectory();
  fs.writeFileSync(path.join(outside, 'b'), 'mine');
  await feed.send({ 'd/b': 'bee', 'd/c': 'sea' });
  fs.rmSync(`${root}/current/d`, { recursive: true });
  fs.symlinkSync(outside, `${root}/current/d`);
  await feed.send({ 'd/b': null });
  await feed.send({ 'd/x': 'ex', 'd/c': 'sea two' });
  expect(fs.readdirSync(outside)).toEqual(['b']);
  expect(fs.readFileSync(path.join(outside, 'b'), 'utf8')).toBe('mine');
  expect(fs.lstatSync(`${root}/current/d`).isDirectory()).toBe(true);
  expect(fs.readFileSync(`${root}/current/d/x`, 'utf8')).toBe('ex');
});

it('reads nothing through a link that somebody planted', async () => {
  const { feed, store, root } = await opened();
  const outside = temporaryDirectory();
  fs.writeFileSync(path.join(outside, 'b'), 'bee');
  await feed.send({ 'd/b': 'bee' });
  fs.rmSync(`${root}/current/d`, { recursive: true });
  fs.symlinkSync(outside, `${root}/current/d`);
  expect(store.openCurrent(parseTypedPath('d/b'))).toBeNull();
  expect(store.copies(sha256('bee')).map((open) => open())).toEqual([null]);
});

it('moves away what somebody put where a file has to be', async () => {
  const { feed, root } = await opened();
  fs.writeFileSync(`${root}/current/a`, 'mine');
  fs.mkdirSync(`${root}/current/b`);
  fs.writeFileSync(`${root}/current/b/inner`, 'mine too');
  await feed.send({ a: 'theirs', b: 'theirs' });
  expect([...readTree(`${root}/current`).values()].map(String)).toEqual(['theirs', 'theirs']);
  expect([...readTree(`${root}/versions`).values()].map(String).sort()).toEqual(['mine', 'mine too']);
});

it('keeps names of every kind, and their versions', async () => {
  const { store, root } = await opened();
  const names = [
    'x'.repeat(255),
    `${'é'.repeat(120)}.tar.gz`,
    'line\nbreak',
    '🐘'.repeat(60),
    `deep/${'d/'.repeat(200)}f`,
    `${'long directory name/'.repeat(150)}f`,
  ];
  const paths = [
    ...names.map((name) => parseTypedPath(name)),
    parseRelativePath(Buffer.from([0xff, 0x2e, 0xfe])),
  ];
  const commit = async (content: string, sequence: number): Promise<void> => {
    const state = fileState(content);
    const records = paths.map((path, at) => ({ path, sequence: sequence + at, replaces: null, state }));
    store.stage(state.hash, Buffer.from(content));
    const through = sequence + paths.length;
    await store.commit({ indexId: indexA, records, missing: [], through, token: Buffer.alloc(0) });
  };
  await commit('one', 1);
  await commit('two', 100);
  expect([...readTree(`${root}/current`).keys()].sort()).toEqual([...paths].sort());
  expect([...readTree(`${root}/versions`).values()].map(String)).toEqual(paths.map(() => 'one'));
  for (const path of paths) expect(store.listVersions(path)).toHaveLength(1);
});

it('keeps versions apart whose names a source has made up', async () => {
  const at = Date.parse('2026-11-21T08:00:00Z');
  const { feed, root } = await opened(undefined, { now: () => at });
  await feed.send({ a: 'one', 'a~20261121-080000/b': 'below' });
  await feed.send({ a: 'two' });
  await feed.send({ 'a~20261121-080000/b': null, 'a~20261121-080000-2/b': 'more' });
  await feed.send({ a: null, 'a~20261121-080000-2/b': null });
  expect([...readTree(`${root}/versions`).values()].map(String).sort()).toEqual([
    'below',
    'more',
    'one',
    'two',
  ]);
});

it('expires by its rule, and never what is younger than the floor', async () => {
  let now = Date.parse('2026-01-01T00:00:00Z');
  const retention = { kind: 'simple', keep: 2, cleanoutDays: 0, floorDays: 7 } as const;
  const { feed, store, root } = await opened(undefined, { now: () => now }, { retention });
  const day = 86_400_000;
  for (const content of ['1', '2', '3', '4', '5', '6']) {
    await feed.send({ 'd/a': content });
    now += 3 * day;
  }
  await expect(store.expire(now)).resolves.toEqual({ versions: 3, bytes: 3 });
  expect([...readTree(`${root}/versions`).values()].map(String).sort()).toEqual(['4', '5']);
  await expect(store.expire(now)).resolves.toEqual({ versions: 0, bytes: 0 });
  await feed.send({ 'd/a': null });
  await expect(store.expire(now + 1000 * day)).resolves.toEqual({ versions: 1, bytes: 1 });
  expect(store.usage()).toEqual({ files: 0, bytes: 0, versions: 2, versionBytes: 2 });
});

it('takes content from another folder of the agent', async () => {
  const source = await opened();
  await source.feed.send({ a: 'shared' });
  const target = await opened(undefined, {
    copiesElsewhere: (hash) => source.store.copies(hash),
  });
  await target.feed.send({ b: fileState('shared') });
  expect(readTree(`${target.root}/current`).get('b')?.toString()).toBe('shared');
});

it('fetches again what it holds damaged', async () => {
  const { feed, store, root } = await opened();
  await feed.send({ a: 'good' });
  fs.chmodSync(`${root}/current/a`, 0o600);
  fs.writeFileSync(`${root}/current/a`, 'evil');
  const record = { path: 'b' as RelativePath, sequence: 2, replaces: null, state: fileState('good') };
  expect(store.need(record)).toBe('held');
  await expect(store.stageHeld(sha256('good'), 4)).resolves.toBe(false);
  await expect(store.stageHeld(sha256('never seen'), 10)).resolves.toBe(false);
});

it('finds a file system fit or tells what it lacks', async () => {
  const directory = temporaryDirectory();
  await probeFilesystem({ disk: nodeDisk }, directory);
  expect(fs.readdirSync(directory)).toEqual([]);
  const linkless = {
    ...nodeDisk,
    link: () => {
      throw diskError(Object.assign(new Error('no'), { code: 'EPERM' }), 'link', '/x');
    },
  };
  await expect(probeFilesystem({ disk: linkless }, directory)).rejects.toMatchObject({
    code: 'FILESYSTEM_UNSUITABLE',
    message: expect.stringContaining('hard links') as unknown,
  });
  expect(fs.readdirSync(directory)).toEqual([]);
});
