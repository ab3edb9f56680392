import Database from 'better-sqlite3';
import { hash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { FeedReader } from '../../agent/index/feed-reader.ts';
import { FolderIndex, type PathChange } from '../../agent/index/folder-index.ts';
import { openIndexDatabase } from '../../agent/index/index-database.ts';
import { ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory } from '../support/source-tree.ts';

function file(name: string, content = name, chunks: PathChange['chunks'] = null): PathChange {
  const size = chunks === null ? content.length : 2 * 1024 * 1024;
  return {
    path: name as RelativePath,
    state: {
      kind: 'file',
      size,
      mtimeNs: 1_700_000_000_123_456_789n,
      mode: 0o644,
      uid: 0,
      gid: 0,
      hash: hash('sha256', content, 'buffer'),
    },
    ctimeNs: 1n,
    ino: 2n ** 62n,
    chunks,
  };
}
const gone = (name: string): PathChange => ({
  path: name as RelativePath,
  state: { kind: 'deleted' },
  ctimeNs: 0n,
  ino: 0n,
  chunks: null,
});

function open(directory: string) {
  const database = openIndexDatabase(path.join(directory, 'index.db'));
  return { database, index: new FolderIndex(database, 'media'), feed: new FeedReader(database, 'media') };
}

it('gives whole checkpoints of at most 1024 records, whatever limit is asked for', () => {
  using directory = createTemporaryDirectory('index');
  const { database, index, feed } = open(directory.path);
  index.commit(Array.from({ length: 3000 }, (_, at) => file(`f${at}`)));
  for (const limit of [1, 7, 1024, 5000]) {
    const replayed = new ReplayedFeed();
    if (limit <= 1024) replayed.follow(feed, limit);
    else expect(feed.batchAfter(0, limit)?.records.length).toBe(3000);
    if (limit <= 1024) expect(replayed.states.size).toBe(3000);
  }
  expect(feed.batchAfter(0, 1)?.through).toBe(1024);
  expect(feed.batchAfter(3000)).toBeNull();
  database.close();
});

it('names what a path had before, across a deletion too', () => {
  using directory = createTemporaryDirectory('index');
  const { database, index, feed } = open(directory.path);
  index.commit([file('a')]);
  index.commit([gone('a'), gone('never there')]);
  index.commit([file('a', 'new')]);
  expect(feed.batchAfter(0)?.records).toMatchObject([{ path: 'a', sequence: 3, replaces: 2 }]);
  database.close();
});

it('takes no sequence for what is announced already, except when the path is dirty', () => {
  using directory = createTemporaryDirectory('index');
  const { database, index } = open(directory.path);
  index.commit([file('a')]);
  expect(index.commit([{ ...file('a'), ctimeNs: 9n }])).toEqual({ records: 0 });
  expect(index.get('a' as RelativePath)?.ctimeNs).toBe(9n);
  expect(index.markDirty('a' as RelativePath)).toBe(true);
  expect(index.markDirty('b' as RelativePath)).toBe(false);
  expect(index.dirtyPaths(10)).toEqual(['a']);
  expect(index.commit([file('a')])).toEqual({ records: 1 });
  expect(index.get('a' as RelativePath)).toMatchObject({ sequence: 2, dirty: false });
  database.close();
});

it('knows its positions, and not those of a history that was rolled back', () => {
  using directory = createTemporaryDirectory('index');
  const first = open(directory.path);
  first.index.commit([file('a')]);
  first.database.close();
  fs.copyFileSync(path.join(directory.path, 'index.db'), path.join(directory.path, 'snapshot'));
  const second = open(directory.path);
  const indexId = second.index.indexId;
  const kept = second.feed.batchAfter(0);
  second.index.commit([file('b', 'before the rollback')]);
  const lost = second.feed.batchAfter(1);
  second.database.close();
  fs.copyFileSync(path.join(directory.path, 'snapshot'), path.join(directory.path, 'index.db'));
  const third = open(directory.path);
  const position = (batch: typeof lost) => ({
    indexId,
    sequence: batch?.through ?? 0,
    token: batch?.token ?? Buffer.alloc(32),
  });
  expect(third.feed.matches(position(lost))).toBe(false);
  third.index.commit([file('b', 'after the rollback')]);
  expect(third.feed.batchAfter(1)?.through).toBe(lost?.through);
  expect(third.feed.matches(position(lost))).toBe(false);
  expect(third.feed.matches(position(kept))).toBe(true);
  expect(third.feed.matches({ indexId, sequence: 0, token: Buffer.alloc(32) })).toBe(true);
  third.index.renew();
  expect(third.feed.matches(position(kept))).toBe(false);
  expect(third.feed.matches({ indexId, sequence: 0, token: Buffer.alloc(32) })).toBe(false);
  third.database.close();
});

it('leads to the last sequence of all in a renewed index, though what had it is gone', () => {
  using directory = createTemporaryDirectory('index');
  const { database, index, feed } = open(directory.path);
  index.commit([file('a'), file('b')]);
  index.commit([gone('b')]);
  index.renew();
  const batch = feed.batchAfter(0);
  expect(batch).toMatchObject({ through: 3, isHead: true, records: [{ path: 'a', sequence: 1 }] });
  const position = { indexId: feed.folder().index_id, sequence: 3, token: batch?.token ?? Buffer.alloc(0) };
  expect([feed.matches(position), feed.batchAfter(3)]).toEqual([true, null]);
  index.commit([gone('a')]);
  index.renew();
  expect(feed.batchAfter(0)).toMatchObject({ through: 4, isHead: true, records: [] });
  index.commit([file('c')]);
  index.renew();
  expect(feed.batchAfter(0)).toMatchObject({ through: 5, records: [{ path: 'c', sequence: 5 }] });
  database.close();
});

it('prunes checkpoints below every acknowledged position, keeps those and leaves no gap of more than 1024 records', () => {
  using directory = createTemporaryDirectory('index');
  const { database, index, feed } = open(directory.path);
  for (let at = 0; at < 3000; at += 100) {
    index.commit(Array.from({ length: 100 }, (_, more) => file(`f${at + more}`)));
  }
  const tokens = new Map<number, Buffer>();
  for (let after = 0; ;) {
    const batch = feed.batchAfter(after, 1);
    if (batch === null) break;
    tokens.set(batch.through, batch.token);
    after = batch.through;
  }
  expect(index.pruneCheckpoints()).toBe(0);
  index.acknowledge('ONE', 2500);
  index.acknowledge('TWO', 2600);
  expect(index.pruneCheckpoints()).toBeGreaterThan(15);
  const matches = (sequence: number) =>
    feed.matches({ indexId: index.indexId, sequence, token: tokens.get(sequence) ?? Buffer.alloc(0) });
  expect([2500, 2600, 2700, 3000].map(matches)).toEqual([true, true, true, true]);
  expect(matches(100)).toBe(false);
  const replayed = new ReplayedFeed();
  replayed.follow(feed);
  expect(replayed.states.size).toBe(3000);
  index.forgetReceiver('ONE');
  index.acknowledge('TWO', 3000);
  index.pruneCheckpoints();
  expect(matches(2500)).toBe(false);
  expect(matches(3000)).toBe(true);
  database.close();
});

it('keeps a chunk list exactly as long as a live file has that content', () => {
  using directory = createTemporaryDirectory('index');
  const { database, index, feed } = open(directory.path);
  const chunks = [{ length: 2_097_152, hash: Buffer.alloc(32, 1) }];
  const large = file('a', 'large', chunks);
  const id = hash('sha256', 'large', 'buffer');
  index.commit([large, { ...large, path: 'b' as RelativePath }]);
  expect(feed.chunkList(id)).toEqual(chunks);
  index.commit([gone('a')]);
  expect(feed.chunkList(id)).toEqual(chunks);
  index.commit([gone('b'), { ...large, path: 'c' as RelativePath }]);
  expect(feed.chunkList(id)).toEqual(chunks);
  index.commit([file('c', 'small now')]);
  expect(feed.chunkList(id)).toBeNull();
  database.close();
});

it('refuses a file that is no index of ours', () => {
  using directory = createTemporaryDirectory('index');
  const damaged = path.join(directory.path, 'index.db');
  fs.writeFileSync(damaged, 'x'.repeat(8192));
  expect(() => openIndexDatabase(damaged)).toThrowError(
    expect.objectContaining({ code: 'DATABASE_CORRUPT' }),
  );
  fs.rmSync(damaged);
  const other = new Database(damaged);
  other.pragma('user_version = 77');
  other.close();
  expect(() => openIndexDatabase(damaged)).toThrowError();
});
