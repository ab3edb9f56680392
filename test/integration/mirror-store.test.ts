import fs from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, expect, it } from 'vitest';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import {
  FeedFake,
  indexA,
  indexB,
  readTree,
  sha256,
  storeFixture,
  symlinkState,
} from '../support/store-fixture.ts';

let store: MirrorStore;

afterEach(async () => {
  await store.close();
});

const text = (tree: Map<string, Buffer>): Record<string, string> =>
  Object.fromEntries([...tree].map(([name, content]) => [name, content.toString()]));

it('keeps what was replaced or deleted as versions named by the time of archiving', async () => {
  const at = Date.parse('2026-11-21T08:00:00Z');
  const { open, root } = storeFixture(undefined, { now: () => at });
  store = await open();
  const feed = new FeedFake(() => store);
  await feed.send({ 'a/b.txt': 'one', 'a/c.txt': 'sea', link: symlinkState('a/b.txt') });
  await feed.send({ 'a/b.txt': 'two' });
  await feed.send({ 'a/b.txt': 'three', 'a/c.txt': null, link: null });
  expect(text(readTree(`${root}/current`))).toEqual({ 'a/b.txt': 'three' });
  expect(text(readTree(`${root}/versions`))).toEqual({
    'a/b~20261121-080000.txt': 'one',
    'a/b~20261121-080000-2.txt': 'two',
    'a/c~20261121-080000.txt': 'sea',
  });
  expect(store.listVersions(parseTypedPath('a/b.txt')).map(({ name }) => name)).toEqual([
    'a/b~20261121-080000-2.txt',
    'a/b~20261121-080000.txt',
  ]);
  expect(store.usage()).toEqual({ files: 1, bytes: 5, versions: 4, versionBytes: 9 });
  expect(fs.readdirSync(`${root}/incoming`)).toEqual([]);
});

it('tells the state at any earlier moment, deletions and links included', async () => {
  let now = 1000;
  const { open } = storeFixture(undefined, { now: () => now });
  store = await open();
  const feed = new FeedFake(() => store);
  now = 2000;
  await feed.send({ a: 'one', b: 'bee', link: symlinkState('a') });
  now = 3000;
  await feed.send({ a: 'two', b: null, link: null });
  now = 4000;
  await feed.send({ b: 'bee again' });
  const namesAt = (at: number | null) =>
    store
      .entriesAt({ at, after: null, limit: 10 })
      .entries.map(({ path, state }) => [path, state.kind === 'file' ? state.hash : state.kind]);
  expect(namesAt(1500)).toEqual([]);
  expect(namesAt(2500)).toEqual([
    ['a', sha256('one')],
    ['b', sha256('bee')],
    ['link', 'symlink'],
  ]);
  expect(namesAt(3500)).toEqual([['a', sha256('two')]]);
  const now2 = [
    ['a', sha256('two')],
    ['b', sha256('bee again')],
  ];
  expect(namesAt(4500)).toEqual(now2);
  expect(namesAt(null)).toEqual(now2);
  const page = store.entriesAt({ at: 2500, after: null, limit: 2 });
  expect(page.next).toBe('b');
  expect(store.entriesAt({ at: 2500, after: page.next, limit: 2 }).entries.map(({ path }) => path)).toEqual([
    'link',
  ]);
});

it('resumes where it was after a restart, with and without its database', async () => {
  const { open, root, databasePath } = storeFixture();
  store = await open();
  const feed = new FeedFake(() => store);
  expect(store.position()).toBeNull();
  await feed.send({ a: 'one', b: 'two' });
  await feed.send({ a: 'three' });
  const before = [store.position(), store.usage(), store.listVersions(parseTypedPath('a'))];
  await store.close();
  store = await open();
  expect(store.opened.rebuiltIndex).toBe(false);
  expect([store.position(), store.usage(), store.listVersions(parseTypedPath('a'))]).toEqual(before);
  await store.close();
  fs.rmSync(databasePath);
  store = await open();
  expect(store.opened.rebuiltIndex).toBe(true);
  expect([store.position(), store.usage(), store.listVersions(parseTypedPath('a'))]).toEqual(before);
  await feed.send({ b: 'four' });
  expect(text(readTree(`${root}/current`))).toEqual({ a: 'three', b: 'four' });
});

it('tells a database that is damaged from one that another version made, and makes both anew', async () => {
  const { open, databasePath } = storeFixture();
  store = await open();
  await new FeedFake(() => store).send({ a: 'one' });
  const before = store.position();
  const breaks: [boolean, () => void][] = [
    [false, () => {}],
    [true, () => fs.truncateSync(databasePath, 5000)],
    [
      true,
      () =>
        fs.writeFileSync(
          databasePath,
          'not a database, and longer than its header of a hundred bytes'.repeat(9),
        ),
    ],
    [
      false,
      () => {
        const database = new Database(databasePath);
        database.pragma('user_version = 1');
        database.close();
      },
    ],
  ];
  for (const [isDamaged, harm] of breaks) {
    await store.close();
    harm();
    store = await open();
    expect([store.opened.damagedDatabase, store.position()]).toEqual([isDamaged, before]);
  }
});

it('deletes what a complete new index did not name, and nothing before it is complete', async () => {
  const { open, root } = storeFixture();
  store = await open();
  const feed = new FeedFake(() => store);
  await feed.send({ a: 'one', 'd/b': 'two', 'd/c': 'three', gone: 'four' });
  await expect(feed.complete()).resolves.toEqual({ deletedFiles: 0 });
  feed.renew(indexB);
  await feed.send({ a: 'one', 'd/b': 'new' }, ['gone']);
  expect(Object.keys(text(readTree(`${root}/current`)))).toEqual(['a', 'd/b', 'd/c', 'gone']);
  await expect(feed.complete()).resolves.toEqual({ deletedFiles: 1 });
  expect(text(readTree(`${root}/current`))).toEqual({ a: 'one', 'd/b': 'new', gone: 'four' });
  expect(store.listVersions(parseTypedPath('d/c'))).toHaveLength(1);
  await expect(feed.complete()).resolves.toEqual({ deletedFiles: 0 });
});

it('turns files into directories and back, keeping what stood in the way', async () => {
  const { open, root } = storeFixture();
  store = await open();
  const feed = new FeedFake(() => store);
  await feed.send({ x: 'file' });
  await feed.send({ 'x/y/z': 'deep', 'x/w': 'flat' });
  expect(text(readTree(`${root}/current`))).toEqual({ 'x/w': 'flat', 'x/y/z': 'deep' });
  await feed.send({ x: 'file again' });
  expect(text(readTree(`${root}/current`))).toEqual({ x: 'file again' });
  expect([...readTree(`${root}/versions`).values()].map(String).sort()).toEqual(['deep', 'file', 'flat']);
  await feed.send({ x: { kind: 'directory', mode: 0o700, uid: 0, gid: 0 } });
  expect(fs.statSync(`${root}/current/x`).isDirectory()).toBe(true);
  await feed.send({ x: symlinkState('elsewhere') });
  expect(fs.readdirSync(`${root}/current`)).toEqual([]);
});

it('takes moved and copied content from what it holds', async () => {
  const { open, root } = storeFixture();
  store = await open();
  const feed = new FeedFake(() => store);
  await feed.send({ a: 'content', gone: 'old content' });
  await feed.send({ gone: null });
  const { fileState } = await import('../support/store-fixture.ts');
  await feed.send({ b: fileState('content'), c: fileState('content'), a: null, d: fileState('old content') });
  expect(text(readTree(`${root}/current`))).toEqual({ b: 'content', c: 'content', d: 'old content' });
  const inode = (name: string) => fs.statSync(path.join(root, 'current', name)).ino;
  expect(inode('b')).not.toBe(inode('c'));
});

it('refuses batches that go back', async () => {
  const { open } = storeFixture();
  store = await open();
  const feed = new FeedFake(() => store);
  await feed.send({ a: 'one' });
  feed.renew(indexA);
  await expect(feed.send({ a: 'two' })).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' });
});

it('deletes nothing at the end of an index that it has not reached, or of another one', async () => {
  const { open, root } = storeFixture();
  store = await open();
  const feed = new FeedFake(() => store);
  await feed.send({ a: 'one' });
  feed.renew(indexB);
  const violation = { code: 'PROTOCOL_VIOLATION' };
  await expect(feed.complete()).rejects.toMatchObject(violation);
  await feed.send({ b: 'two' });
  feed.sequence += 1;
  await expect(feed.complete()).rejects.toMatchObject(violation);
  expect(text(readTree(`${root}/current`))).toEqual({ a: 'one', b: 'two' });
});

it('opens only once', async () => {
  const { open } = storeFixture();
  store = await open();
  await expect(open()).rejects.toMatchObject({ code: 'ALREADY_RUNNING' });
});
