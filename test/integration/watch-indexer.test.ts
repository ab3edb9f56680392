import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { FolderFeed } from '../../agent/index/folder-feed.ts';
import type { IndexerOptions } from '../../agent/watch/indexer-options.ts';
import { Indexer, indexerDefaults } from '../../agent/watch/indexer.ts';
import { canMount } from '../support/mounted.ts';
import { compareWithTree, ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory, describeTree } from '../support/source-tree.ts';

async function setUp({ mounts = false, ...options }: Partial<IndexerOptions> & { mounts?: boolean } = {}) {
  const directory = createTemporaryDirectory('indexer');
  const root = path.join(directory.path, 'root');
  fs.mkdirSync(root);
  if (mounts) execFileSync('mount', ['-t', 'tmpfs', 'media-server:/export', root]);
  fs.writeFileSync(path.join(root, 'first'), 'first');
  const databaseFile = path.join(directory.path, 'index.db');
  const failures: CodedError[] = [];
  const indexer = new Indexer(
    { logger: silentLogger, onFailure: (error) => failures.push(error) },
    { ...indexerDefaults, databaseFile, ...options },
  );
  onTestFinished(async () => {
    await indexer.stop();
    if (mounts) spawnSync('umount', ['-l', root]);
    directory[Symbol.dispose]();
  });
  await indexer.start([{ id: 'media', root, ignore: [] }]);
  return {
    home: directory.path,
    root,
    databaseFile,
    indexer,
    feed: indexer.feed('media'),
    failures,
    at: (name: string) => path.join(root, name),
  };
}

/** Resolves when the feed has what is asked for; asks at every change. */
function until(feed: FolderFeed, condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    if (condition()) {
      resolve();
      return;
    }
    const stop = feed.onChange(() => {
      if (!condition()) return;
      stop();
      resolve();
    });
  });
}

function paths(feed: FolderFeed): string[] {
  const replayed = new ReplayedFeed();
  replayed.follow(feed);
  return [...replayed.states.keys()].filter((name) => name !== '').sort();
}

/** Resolves when the watches stand and every look that they caused is done. */
async function watching(indexer: Indexer, feed: FolderFeed, root: string): Promise<void> {
  await indexer.scan('media');
  const probe = path.join(root, 'probe');
  fs.writeFileSync(probe, '');
  await until(feed, () => paths(feed).includes('probe'));
  fs.rmSync(probe);
  await until(feed, () => !paths(feed).includes('probe'));
}

it('finds a new file in new directories by the watcher, without a scan', async () => {
  const { indexer, feed, root, at } = await setUp({ hotScanIntervalMs: 3_600_000 });
  await watching(indexer, feed, root);
  const { lastScanAt } = indexer.status('media');
  fs.mkdirSync(at('113/456/789/original'), { recursive: true });
  fs.writeFileSync(at('113/456/789/original/new.png'), Buffer.alloc(1024 * 1024));
  await until(feed, () => paths(feed).includes('113/456/789/original/new.png'));
  expect(indexer.status('media').lastScanAt).toEqual(lastScanAt);
  fs.appendFileSync(at('113/456/789/original/new.png'), 'x');
  await until(
    feed,
    () =>
      feed
        .batchAfter(0)
        ?.records.some(({ state }) => state.kind === 'file' && state.size === 1024 * 1024 + 1) ?? false,
  );
  fs.renameSync(at('113'), at('114'));
  await until(
    feed,
    () =>
      paths(feed).includes('114/456/789/original/new.png') &&
      !paths(feed).includes('113/456/789/original/new.png'),
  );
  expect(indexer.status('media')).toMatchObject({ state: 'idle', watching: 'ok', files: 2, unreadable: 0 });
});

it('notices names that are not UTF-8 by the watcher', async () => {
  const { indexer, feed, root } = await setUp();
  await watching(indexer, feed, root);
  fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0xfe])]), 'x');
  await until(feed, () => paths(feed).includes('\xff\xfe'));
});

it('notices that a known directory was exchanged for another', async () => {
  const { indexer, feed, root, at } = await setUp();
  fs.mkdirSync(at('d/deep'), { recursive: true });
  fs.writeFileSync(at('d/deep/one'), '1');
  await watching(indexer, feed, root);
  const other = path.join(path.dirname(root), 'other');
  fs.mkdirSync(path.join(other, 'deep'), { recursive: true });
  fs.writeFileSync(path.join(other, 'deep', 'two'), '2');
  fs.renameSync(at('d'), `${other}.old`);
  fs.renameSync(other, at('d'));
  await until(feed, () => paths(feed).join() === 'd/deep/two,first');
});

it.skipIf(!canMount)('watches again when its source was away and is mounted again', async () => {
  const { indexer, feed, root, at } = await setUp({
    hotScanIntervalMs: 3_600_000,
    sourceCheckIntervalMs: 50,
    mounts: true,
  });
  const fill = () => {
    fs.mkdirSync(at('old/deep'), { recursive: true });
    for (const name of ['first', 'old/deep/file']) fs.writeFileSync(at(name), name);
    for (const name of ['first', 'old/deep/file']) fs.utimesSync(at(name), 1000, 1000);
  };
  fill();
  await watching(indexer, feed, root);
  const state = (wanted: string) =>
    new Promise<void>((resolve) => {
      const stop = indexer.onStatus(() => {
        if (indexer.status('media').state !== wanted) return;
        stop();
        resolve();
      });
    });
  const stopped = state('stopped');
  // lazily: a look at it may be under way
  execFileSync('umount', ['-l', root]);
  await stopped;
  const idle = state('idle');
  execFileSync('mount', ['-t', 'tmpfs', 'media-server:/export', root]);
  fill();
  await idle;
  await watching(indexer, feed, root);
  const { lastScanAt } = indexer.status('media');
  for (const name of ['old/deep/new', 'old/new', 'new']) {
    fs.writeFileSync(at(name), name);
    await until(feed, () => paths(feed).includes(name));
  }
  expect(indexer.status('media')).toMatchObject({ lastScanAt, watching: 'ok' });
});

it('finds everything by the next scan when nothing is watched, and says that watching is off', async () => {
  const { indexer, feed, at } = await setUp({ watchLimit: 0 });
  await indexer.scan('media');
  expect(indexer.status('media')).toMatchObject({
    watching: 'off',
    watchingReason: 'the limit for watches is 0',
  });
  fs.writeFileSync(at('second'), '2');
  const [report] = await indexer.scan();
  expect(report).toMatchObject({ folderId: 'media', files: 2, changed: 1 });
  expect(paths(feed)).toEqual(['first', 'second']);
});

it('looks at hot directories every now and then though nothing is watched', async () => {
  const { indexer, feed, at } = await setUp({ watchLimit: 0, hotScanIntervalMs: 50 });
  await indexer.scan('media');
  fs.writeFileSync(at('second'), '2');
  await until(feed, () => paths(feed).includes('second'));
});

it('makes dirty paths durable and announces them again at the next scan', async () => {
  const { indexer, feed } = await setUp();
  await indexer.scan('media');
  const record = feed.batchAfter(0)?.records.find(({ path: name }) => name === 'first');
  await feed.markDirty('first' as RelativePath);
  await indexer.scan('media');
  const again = feed.batchAfter(record?.sequence ?? 0)?.records.find(({ path: name }) => name === 'first');
  expect(again).toMatchObject({ replaces: record?.sequence, state: record?.state });
});

it('gives a new index when asked, over the same files and without reading them again', async () => {
  const { indexer, feed } = await setUp();
  await indexer.scan('media');
  const old = feed.indexId();
  const batch = feed.batchAfter(0);
  const position = { indexId: old, sequence: batch?.through ?? 0, token: batch?.token ?? Buffer.alloc(32) };
  expect(feed.matches(position)).toBe(true);
  const receiver = 'RECEIVER' as DeviceId;
  feed.acknowledged(receiver, position);
  expect(feed.acknowledgedBy(receiver)).toBe(position.sequence);
  await feed.renewIndex('test');
  expect(feed.indexId()).not.toEqual(old);
  expect(feed.matches(position)).toBe(false);
  expect(feed.acknowledgedBy(receiver)).toBe(0);
  await until(feed, () => feed.completeThrough() !== null);
  expect(paths(feed)).toEqual(['first']);
});

it('pauses, resumes, and takes folders in and out while it runs', async () => {
  const { indexer, root, home, at, feed } = await setUp();
  await indexer.scan('media');
  await indexer.pause();
  expect(indexer.status('media').state).toBe('paused');
  await expect(indexer.scan('media')).rejects.toMatchObject({ code: 'FOLDER_PAUSED' });
  fs.writeFileSync(at('while paused'), '');
  await indexer.resume();
  await until(feed, () => paths(feed).includes('while paused'));
  const other = path.join(home, 'other');
  fs.mkdirSync(other);
  fs.writeFileSync(path.join(other, 'o'), 'o');
  await indexer.addFolder({ id: 'other', root: other, ignore: [] });
  expect((await indexer.scan()).map((report) => report.folderId)).toEqual(['media', 'other']);
  expect(paths(indexer.feed('other'))).toEqual(['o']);
  const { indexId } = { indexId: indexer.feed('other').indexId() };
  await indexer.removeFolder('other');
  expect(() => indexer.feed('other')).toThrowError(expect.objectContaining({ code: 'FOLDER_UNKNOWN' }));
  await indexer.addFolder({ id: 'other', root: other, ignore: [] });
  expect(indexer.feed('other').indexId()).toEqual(indexId);
  await indexer.removeFolder('other', { forget: true });
  await indexer.addFolder({ id: 'other', root: other, ignore: [] });
  expect(indexer.feed('other').indexId()).not.toEqual(indexId);
  expect(paths(feed)).toContain('first');
  expect(root).toBe(path.join(home, 'root'));
});

it('stops when the source vanishes and goes on after accept', async () => {
  const { indexer, feed, at } = await setUp({ sourceCheckIntervalMs: 3_600_000 });
  await indexer.scan('media');
  fs.rmSync(at('first'));
  await expect(indexer.scan('media')).rejects.toMatchObject({ code: 'SOURCE_STOPPED' });
  expect(indexer.status('media')).toMatchObject({ state: 'stopped', files: 1 });
  await indexer.accept('media');
  await until(feed, () => paths(feed).length === 0);
  expect(indexer.status('media')).toMatchObject({ files: 0, reason: null });
});

it('begins a new index when the database is damaged, and keeps the damaged file', async () => {
  const { indexer, feed, databaseFile, root, home } = await setUp();
  await indexer.scan('media');
  const indexId = feed.indexId();
  await indexer.stop();
  for (const suffix of ['-wal', '-shm']) fs.rmSync(databaseFile + suffix, { force: true });
  fs.writeFileSync(databaseFile, 'this is no database any more'.repeat(1000));
  await indexer.start([{ id: 'media', root, ignore: [] }]);
  await indexer.scan('media');
  expect(indexer.feed('media').indexId()).not.toEqual(indexId);
  expect(paths(indexer.feed('media'))).toEqual(['first']);
  expect(fs.readdirSync(home).filter((name) => name.includes('damaged'))).toHaveLength(1);
});

it('answers again and again while it reads a tree of large and small files', async () => {
  const { indexer, at } = await setUp();
  for (let number = 0; number < 300; number += 1)
    fs.writeFileSync(at(`f${number}`), Buffer.alloc(1000, number));
  fs.writeFileSync(at('large'), Buffer.alloc(200 * 1024 * 1024, 7));
  for (const name of ['large']) fs.utimesSync(at(name), 1000, 1000);
  const done = indexer.scan('media').then(() => true);
  let answers = 0;
  for (let scanning = true; scanning; answers += 1) {
    await indexer.feed('media').markDirty('first' as RelativePath);
    scanning = !(await Promise.race([done, Promise.resolve(false)]));
  }
  // A thread that reads 200 MB in one go answers once.
  expect(answers).toBeGreaterThan(3);
});

describe('with the limits of a user namespace', () => {
  const inNamespace = (setting: string, limit: number) => [
    '-Ur',
    'sh',
    '-c',
    `echo ${limit} > /proc/sys/user/${setting} && exec "$@"`,
    'sh',
  ];
  const possible = spawnSync('unshare', [...inNamespace('max_inotify_watches', 5), 'true']).status === 0;

  it.skipIf(!possible).each([
    ['max_inotify_watches', 8, 'ENOSPC; see fs.inotify.max_user_watches'],
    ['max_inotify_instances', 0, 'EMFILE; see fs.inotify.max_user_instances'],
  ])(
    'says at once that watching is degraded when the kernel refuses watches (%s %i), and loses nothing',
    (setting, limit, cause) => {
      const program = fileURLToPath(new URL('../support/watch-limit-child.ts', import.meta.url));
      const output = execFileSync('unshare', [...inNamespace(setting, limit), process.execPath, program], {
        encoding: 'utf8',
      });
      const { status, before, after } = JSON.parse(output) as {
        status: { watching: string; watchingReason: string };
        before: string[];
        after: string[];
      };
      expect(status.watching).toBe('degraded');
      expect(status.watchingReason).toMatch(/the system allows \d+ watches, 2048 are wanted/);
      expect(status.watchingReason).toContain(cause);
      expect(before).toHaveLength(40);
      expect(after).toHaveLength(80);
    },
  );
});

it('compares equal with the tree after many changes with everything switched on', async () => {
  const { indexer, feed, root, at } = await setUp();
  await watching(indexer, feed, root);
  fs.rmSync(at('first'));
  for (let round = 0; round < 20; round += 1) {
    fs.mkdirSync(at(`r${round}/a/b`), { recursive: true });
    for (let number = 0; number < 10; number += 1)
      fs.writeFileSync(at(`r${round}/a/b/${number}`), `${round} ${number}`);
    if (round % 3 === 0) fs.rmSync(at(`r${round}/a`), { recursive: true });
    if (round % 3 === 1) fs.renameSync(at(`r${round}/a`), at(`r${round}/c`));
  }
  await indexer.scan('media');
  const replayed = new ReplayedFeed();
  replayed.follow(feed);
  expect(compareWithTree(replayed, describeTree(root))).toEqual([]);
});
