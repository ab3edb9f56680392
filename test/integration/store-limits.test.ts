import { nothingKept } from '../support/kept-history.ts';
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { probeFilesystem } from '../../receiver/store/probe-filesystem.ts';
import { diskError } from '../../shared/io/disk.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { parseRelativePath, parseTypedPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { openedStore } from '../support/opened-store.ts';
import { fileState, indexA, readTree, sha256 } from '../support/store-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

it('takes no content that differs from its hash', async () => {
  const { store, root } = await openedStore();
  const mismatch: unknown = expect.objectContaining({ code: 'CONTENT_MISMATCH' });
  expect(() => store.stage(sha256('right'), Buffer.from('wrong'))).toThrowError(mismatch);
  const partial = store.openPartial(sha256('right'), 5);
  partial.write(0, Buffer.from('wrong'));
  await expect(partial.finish()).rejects.toThrowError(mismatch);
  expect(fs.readdirSync(`${root}/incoming`)).toEqual([]);
  const record = { path: parseTypedPath('a'), sequence: 1, replaces: null, state: fileState('right') };
  const batch = {
    indexId: indexA,
    records: [record],
    missing: [],
    isHead: true,
    through: 1,
    token: Buffer.alloc(32),
  };
  await expect(store.commit(batch)).rejects.toThrowError(mismatch);
  store.stage(sha256('right'), Buffer.from('right'));
  await store.commit(batch);
});

it.each([
  { what: 'in order', writes: ['0 ab', '2 cd', '4 ef'] },
  { what: 'the end first', writes: ['4 ef', '0 ab', '2 cd'] },
  { what: 'a part again, with other bytes', writes: ['0 xx', '2 cd', '0 ab', '4 ef'] },
  { what: 'over the seam of two parts', writes: ['0 ab', '2 xx', '1 bcd', '4 ef'] },
])('takes a large content that is what it was announced to be when it came $what', async ({ writes }) => {
  const { store } = await openedStore();
  const write = (partial: { write(offset: number, bytes: Uint8Array): void }, last: string): void => {
    for (const one of [...writes, last]) {
      const [offset, text = ''] = one.split(' ');
      partial.write(Number(offset), Buffer.from(text));
    }
  };
  const bad = store.openPartial(sha256('abcdefgh'), 8);
  write(bad, '6 gx');
  await expect(bad.finish()).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
  const rewritten = store.openPartial(sha256('abcdefgh'), 8);
  write(rewritten, '6 gh');
  rewritten.write(3, Buffer.from('x'));
  await expect(rewritten.finish()).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
  const good = store.openPartial(sha256('abcdefgh'), 8);
  write(good, '6 gh');
  await good.finish();
});

it('goes on with a large content where an earlier attempt ended', async () => {
  const { store } = await openedStore();
  const left = store.openPartial(sha256('abcd'), 4);
  left.write(0, Buffer.from('ab'));
  left.close();
  const partial = store.openPartial(sha256('abcd'), 4);
  expect(partial.size).toBe(2);
  partial.write(2, Buffer.from('cd'));
  await partial.finish();
});

it('takes no record that lies about the size of its content', async () => {
  const { store } = await openedStore();
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
      isHead: true,
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
  const { store, open, root } = await openedStore();
  const content = Buffer.from('first half, second half');
  const partial = store.openPartial(sha256(content), content.length);
  partial.write(0, content.subarray(0, 11));
  partial.close();
  store.stage(sha256('left over'), Buffer.from('left over'));
  await store.close();
  const again = await open();
  const rest = again.openPartial(sha256(content), content.length);
  expect(rest.size).toBe(11);
  expect(rest.read(6, 100).toString()).toBe('half,');
  rest.write(11, content.subarray(11));
  await rest.finish();
  const record = { path: parseTypedPath('a'), sequence: 1, replaces: null, state: fileState(content) };
  await again.commit({
    indexId: indexA,
    records: [record],
    missing: [],
    isHead: true,
    through: 1,
    token: Buffer.alloc(0),
  });
  expect(readTree(`${root}/current`).get('a')).toEqual(content);
  expect(fs.readdirSync(`${root}/incoming`)).toEqual([]);
});

it('removes old partial content while it runs, but none in use', async () => {
  const { store, root } = await openedStore();
  const used = store.openPartial(sha256('used'), 4);
  const abandoned = store.openPartial(sha256('abandoned'), 9);
  for (const partial of [used, abandoned]) partial.write(0, Buffer.from('a'));
  abandoned.close();
  await store.expire(Date.now() + 6 * 86_400_000, nothingKept);
  expect(fs.readdirSync(`${root}/incoming`)).toHaveLength(2);
  await store.expire(Date.now() + 8 * 86_400_000, nothingKept);
  expect(fs.readdirSync(`${root}/incoming`)).toEqual([`${sha256('used').toString('hex')}.part`]);
  used.close();
});

it('makes plain files and directories only, with the time of the source', async () => {
  const { feed, root } = await openedStore();
  const state = { ...fileState('#!/bin/sh'), mode: 0o4755, uid: 0, gid: 0 };
  await feed.send({ 'bin/tool': '#!/bin/sh' });
  await feed.send({ 'bin/tool': state });
  const stat = fs.statSync(`${root}/current/bin/tool`);
  expect(stat.mode & 0o7777).toBe(0o640 & ~process.umask());
  expect(Math.trunc(stat.mtimeMs / 1000)).toBe(1_700_000_000);
  expect(fs.statSync(`${root}/current/bin`).mode & 0o7777).toBe(0o750 & ~process.umask());
});

it('writes nothing through a link that somebody planted', async () => {
  const { feed, root } = await openedStore();
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
  const { feed, store, root } = await openedStore();
  const outside = temporaryDirectory();
  fs.writeFileSync(path.join(outside, 'b'), 'bee');
  await feed.send({ 'd/b': 'bee' });
  fs.rmSync(`${root}/current/d`, { recursive: true });
  fs.symlinkSync(outside, `${root}/current/d`);
  expect(store.openCurrent(parseTypedPath('d/b'))).toBeNull();
  expect(store.copies(sha256('bee')).map((open) => open())).toEqual([null]);
});

it('moves away what somebody put where a file has to be', async () => {
  const { feed, root } = await openedStore();
  fs.writeFileSync(`${root}/current/a`, 'mine');
  fs.mkdirSync(`${root}/current/b`);
  fs.writeFileSync(`${root}/current/b/inner`, 'mine too');
  await feed.send({ a: 'theirs', b: 'theirs' });
  expect([...readTree(`${root}/current`).values()].map(String)).toEqual(['theirs', 'theirs']);
  expect([...readTree(`${root}/versions`).values()].map(String).sort()).toEqual(['mine', 'mine too']);
});

it('keeps names of every kind, and their versions', async () => {
  const { store, root } = await openedStore();
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
    await store.commit({
      indexId: indexA,
      records,
      missing: [],
      isHead: true,
      through,
      token: Buffer.alloc(0),
    });
  };
  await commit('one', 1);
  await commit('two', 100);
  expect([...readTree(`${root}/current`).keys()].sort()).toEqual([...paths].sort());
  expect([...readTree(`${root}/versions`).values()].map(String)).toEqual(paths.map(() => 'one'));
  for (const path of paths) expect(store.listVersions(path)).toHaveLength(1);
});

it('keeps versions apart whose names a source has made up', async () => {
  const at = Date.parse('2026-11-21T08:00:00Z');
  const { feed, root } = await openedStore(undefined, { now: () => at });
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
  const { feed, store, root } = await openedStore(undefined, { now: () => now }, { retention });
  const day = 86_400_000;
  for (const content of ['1', '2', '3', '4', '5', '6']) {
    await feed.send({ 'd/a': content });
    now += 3 * day;
  }
  await expect(store.expire(now, nothingKept)).resolves.toEqual({ versions: 3, bytes: 3 });
  expect([...readTree(`${root}/versions`).values()].map(String).sort()).toEqual(['4', '5']);
  await expect(store.expire(now, nothingKept)).resolves.toEqual({ versions: 0, bytes: 0 });
  await feed.send({ 'd/a': null });
  await expect(store.expire(now + 1000 * day, nothingKept)).resolves.toEqual({ versions: 1, bytes: 1 });
  expect(store.usage()).toEqual({ files: 0, bytes: 0, versions: 2, versionBytes: 2 });
});

it('takes content from another folder of the agent', async () => {
  const source = await openedStore();
  await source.feed.send({ a: 'shared' });
  const target = await openedStore(undefined, {
    copiesElsewhere: (hash) => source.store.copies(hash),
  });
  await target.feed.send({ b: fileState('shared') });
  expect(readTree(`${target.root}/current`).get('b')?.toString()).toBe('shared');
});

it('fetches again what it holds damaged', async () => {
  const { feed, store, root } = await openedStore();
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
