import { expect, it } from 'vitest';
import type { CodedError } from '../../shared/errors/coded-error.ts';
import { CodedError as Coded } from '../../shared/errors/coded-error.ts';
import { FakeFolderFeed } from '../support/fake-folder-feed.ts';
import { FakeMirrorStore } from '../support/fake-mirror-store.ts';
import { ReplicationLink, type Replica } from '../support/replication-bench.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { until } from '../support/until.ts';
import { createHash } from 'node:crypto';

const mib = 1024 * 1024;

function sourceTree(feed: FakeFolderFeed): Record<string, string> {
  const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  const entries = [...feed.source].map(([name, content]) => [name, hash(content)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function replica(): Replica & { feed: FakeFolderFeed; store: FakeMirrorStore } {
  const feed = new FakeFolderFeed();
  const store = new FakeMirrorStore();
  return { feed, store, feeds: [feed], stores: new Map([['media', store]]) };
}

/** Whether the receiver holds what the feed announced last, and knows that it was all. */
function isSettled(link: ReplicationLink, feed: FakeFolderFeed, store: FakeMirrorStore): boolean {
  return (
    store.position()?.indexId.equals(feed.indexId()) === true &&
    feed.batchAfter(store.position()?.sequence ?? 0) === null &&
    link.progress('media')?.complete === true
  );
}

async function settled(link: ReplicationLink, feed: FakeFolderFeed, store: FakeMirrorStore): Promise<void> {
  await until('the receiver holds everything', () => isSettled(link, feed, store));
}

async function sync(state: ReturnType<typeof replica>): Promise<ReplicationLink> {
  const link = new ReplicationLink(state);
  await settled(link, state.feed, state.store);
  await link.close();
  return link;
}

function fill(feed: FakeFolderFeed, count: number): void {
  for (let n = 0; n < count; n += 1) feed.write(`dir${n % 7}/file${n}`, seededBytes(`file${n}`, 1 + n * 37));
}

it('brings a tree over, follows its changes, and sends nothing again on the next link', async () => {
  const state = replica();
  const { feed, store } = state;
  fill(feed, 60);
  feed.write('empty', '');
  feed.write('large', seededBytes('large', 5 * mib));
  feed.checkpointRecords = 8;
  feed.scan();
  const link = new ReplicationLink(state);
  await settled(link, feed, store);
  expect(store.tree()).toEqual(sourceTree(feed));
  expect(link.serve.progress()).toEqual([
    { folder: 'media', durableSequence: 62, lagFiles: 0, lagBytes: 0, refused: null },
  ]);

  feed.write('dir0/file0', 'changed');
  feed.write('new', 'new');
  feed.remove('dir1/file1');
  feed.scan();
  await until('changes are durable', () => feed.acknowledgedBy('SECOND') === 65);
  expect(store.tree()).toEqual(sourceTree(feed));
  expect(store.versions.length).toBe(2);
  await link.close();
  const next = await sync(state);
  expect([next.count('records'), next.contentBytes()]).toEqual([0, 0]);
});

it('sends nothing for moves and copies, and a content once that is new at several paths', async () => {
  const state = replica();
  const { feed } = state;
  fill(feed, 20);
  feed.scan();
  await sync(state);
  for (const [name, content] of Array.from(feed.source)) {
    feed.source.delete(name);
    feed.write(`moved/${name}`, content);
    feed.write(`copied/${name}`, content);
  }
  feed.scan();
  expect((await sync(state)).contentBytes()).toBe(0);
  expect(state.store.tree()).toEqual(sourceTree(feed));

  feed.checkpointRecords = 2;
  feed.batchRecords = 2;
  state.store.commitDelayMs = 5;
  for (const name of ['a', 'b', 'c', 'd', 'e']) feed.write(name, seededBytes('same', 10_000));
  feed.scan();
  expect((await sync(state)).contentBytes()).toBe(10_000);
  expect(state.store.tree()).toEqual(sourceTree(feed));
});

it('sends only new chunks of a large file that grew or had bytes inserted', async () => {
  const state = replica();
  const old = seededBytes('video', 12 * mib);
  state.feed.write('video', old);
  state.feed.scan();
  await sync(state);
  state.feed.write(
    'video',
    Buffer.concat([old.subarray(0, 5 * mib), Buffer.from('x'), old.subarray(5 * mib), old.subarray(0, 1000)]),
  );
  state.feed.scan();
  expect((await sync(state)).contentBytes()).toBeLessThan(3 * mib);
  expect(state.store.tree()).toEqual(sourceTree(state.feed));
});

it('converges after a cut at any message, skips nothing and sends little twice', async () => {
  const changes = (feed: FakeFolderFeed): void => {
    feed.checkpointRecords = 3;
    feed.batchRecords = 3;
    for (let n = 0; n < 14; n += 1) feed.write(`file${n}`, seededBytes(`small${n}`, 2000 + n));
    feed.write('large', seededBytes('cut', 3 * mib));
    feed.scan();
    feed.remove('file3');
    feed.write('file4', 'later');
    feed.scan();
  };
  const whole = replica();
  changes(whole.feed);
  const uncut = await sync(whole);
  const messages = uncut.messages.length;
  expect(messages).toBeGreaterThan(15);
  for (let cutAt = 0; cutAt < messages; cutAt += 1) {
    const state = replica();
    changes(state.feed);
    let count = 0;
    const cut = new ReplicationLink(state, {
      onMessage: (message) => (count++ === cutAt ? null : message),
    });
    // how many messages there are depends on what is durable when: one of the last may not come
    const isOver = (): boolean => count > cutAt || isSettled(cut, state.feed, state.store);
    await until('it is cut, or over', isOver);
    await cut.close();
    const rest = await sync(state);
    expect(state.store.tree(), `cut at message ${cutAt}`).toEqual(sourceTree(state.feed));
    // what was in flight when the link was cut may come again
    expect(cut.contentBytes() + rest.contentBytes()).toBeLessThanOrEqual(uncut.contentBytes() + 1.2 * mib);
    const committed = state.store.commits.flatMap(({ records, missing }) =>
      [...records, ...missing].map(({ path }) => path),
    );
    expect(new Set(committed).size).toBe(15);
  }
});

it('resumes an interrupted large file where it was', async () => {
  const state = replica();
  state.feed.write('large', seededBytes('resume', 20 * mib));
  state.feed.scan();
  let passed = 0;
  const cut = new ReplicationLink(state, {
    onMessage: (message) => (message.length > 100_000 && ++passed > 12 ? null : message),
  });
  await cut.ended;
  const before = cut.contentBytes();
  expect(before).toBeGreaterThan(5 * mib);
  const rest = await sync(state);
  expect(before + rest.contentBytes()).toBeLessThanOrEqual(21 * mib);
  expect(state.store.tree()).toEqual(sourceTree(state.feed));
});

it('goes on when an announced file is gone, changed or unreadable, and gets it with its next record', async () => {
  const state = replica();
  const { feed, store } = state;
  fill(feed, 10);
  feed.scan();
  feed.remove('dir1/file1');
  feed.write('dir2/file2', seededBytes('changed meanwhile', 75));
  feed.write('dir3/file3', 'changed, with another length');
  feed.unreadable.add([...feed.source.keys()].find((name) => name.endsWith('file4')) ?? ('' as never));
  const link = new ReplicationLink(state);
  await settled(link, feed, store);
  expect(store.missing.toSorted()).toEqual(['dir1/file1', 'dir2/file2', 'dir3/file3', 'dir4/file4']);
  expect(Object.keys(store.tree()).length).toBe(6);
  expect(feed.isDirty('dir2/file2')).toBe(true);
  expect(feed.isDirty('dir4/file4')).toBe(true);
  feed.unreadable.clear();
  feed.scan();
  await until('the next scan is durable', () => feed.batchAfter(store.position()?.sequence ?? 0) === null);
  expect(store.tree()).toEqual(sourceTree(feed));
  await link.close();
});

it('takes a content from another path when the first one that has it is gone', async () => {
  const state = replica();
  state.feed.write('a', 'same');
  state.feed.write('b', 'same');
  state.feed.scan();
  state.feed.remove('a');
  const link = new ReplicationLink(state);
  await settled(link, state.feed, state.store);
  expect(state.store.missing).toEqual([]);
  expect(Object.keys(state.store.tree())).toEqual(['a', 'b']);
  await link.close();
});

it('costs an index and no content when the database of either side is lost', async () => {
  const state = replica();
  const { feed, store } = state;
  feed.checkpointRecords = 3;
  feed.batchRecords = 3;
  fill(feed, 30);
  feed.scan();
  await sync(state);
  store.losePosition();
  expect((await sync(state)).contentBytes()).toBe(0);

  feed.loseIndex();
  feed.remove('dir5/file5');
  feed.scan();
  expect((await sync(state)).contentBytes()).toBe(0);
  expect(store.tree()).toEqual(sourceTree(feed));
  expect(store.versions.length).toBe(1);
});

it('notices a rolled-back index by its token, renews it, and skips nothing', async () => {
  const state = replica();
  const { feed, store } = state;
  fill(feed, 10);
  feed.scan();
  await sync(state);
  const snapshot = feed.snapshot();
  feed.write('after the snapshot', 'x');
  feed.scan();
  await sync(state);
  feed.rollBack(snapshot);
  // the sequence that the receiver holds is given out a second time, for something else
  feed.remove('after the snapshot');
  feed.write('another', 'y');
  feed.scan();
  const link = await sync(state);
  expect(feed.renewals.length).toBe(1);
  expect(link.count('offer')).toBe(2);
  expect(link.contentBytes()).toBe(1);
  expect(store.tree()).toEqual(sourceTree(feed));
});

it('renews an index that is older than the one the receiver holds, and leaves nothing behind', async () => {
  const state = replica();
  const { feed, store } = state;
  fill(feed, 5);
  feed.scan();
  await sync(state);
  const snapshot = feed.snapshot();
  feed.write('short-lived', 'announced in the first index behind the snapshot');
  feed.scan();
  await sync(state);
  feed.loseIndex();
  feed.batchRecords = 1;
  feed.checkpointRecords = 1;
  feed.scan();
  const cut = new ReplicationLink(state, { onMessage: (message) => (message[0] === 0x06 ? null : message) });
  await cut.ended;
  expect(store.position()?.indexId.equals(feed.indexId())).toBe(true);
  feed.rollBack(snapshot);
  feed.remove('short-lived');
  feed.scan();
  await sync(state);
  expect(feed.renewals.length).toBe(1);
  expect(store.tree()).toEqual(sourceTree(feed));
});

it('takes up an index that is renewed while the link lives', async () => {
  const state = replica();
  const { feed, store } = state;
  fill(feed, 10);
  feed.scan();
  const link = new ReplicationLink(state);
  await settled(link, feed, store);
  await feed.renewIndex('a test');
  feed.write('more', 'more');
  await settled(link, feed, store);
  expect(store.tree()).toEqual(sourceTree(feed));
  await link.close();
});

it('deletes what an empty index does not name', async () => {
  const state = replica();
  fill(state.feed, 3);
  state.feed.scan();
  await sync(state);
  state.feed.loseIndex();
  state.feed.source.clear();
  state.feed.scan();
  await sync(state);
  expect(state.store.tree()).toEqual({});
  expect(state.store.versions.length).toBe(3);
});

it.each(['STORE_FULL', 'QUOTA_REACHED'] as const)(
  'waits at the same place on %s, says so, and goes on',
  async (code) => {
    const state = replica();
    const { feed, store } = state;
    fill(feed, 20);
    feed.checkpointRecords = 5;
    feed.scan();
    store.failure = new Coded(code, 'the test filled the disk');
    const link = new ReplicationLink(state);
    await until('the agent knows', () => link.serve.progress()[0]?.refused?.code === code);
    link.retry();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(link.blocked).toEqual([code]);
    expect(link.contentBytes()).toBe(0);
    store.failure = null;
    link.retry();
    await settled(link, feed, store);
    expect(link.blocked).toEqual([code, null]);
    expect(link.count('refuse')).toBe(1);
    expect(link.serve.progress()[0]?.refused).toBe(null);
    expect(store.tree()).toEqual(sourceTree(feed));
    await link.close();
  },
);

it('ends the link on a failed disk and holds whole batches only', async () => {
  const state = replica();
  fill(state.feed, 20);
  state.feed.scan();
  state.store.failure = new Coded('DISK_FAILED', 'EIO');
  const link = new ReplicationLink(state);
  const reasons: { receiver: CodedError | null } = await link.ended;
  expect(reasons.receiver?.code).toBe('DISK_FAILED');
  expect(state.store.commits).toEqual([]);
  state.store.failure = null;
  await sync(state);
  expect(state.store.tree()).toEqual(sourceTree(state.feed));
});

it('ends the link when a store failed half-way for lack of room, because it has to be opened again', async () => {
  const state = replica();
  fill(state.feed, 20);
  state.feed.scan();
  state.store.failure = new Coded('STORE_FULL', 'ENOSPC in the middle of a batch');
  state.store.mustReopen = true;
  const reasons = await new ReplicationLink(state).ended;
  expect(reasons.receiver?.code).toBe('STORE_FULL');
});

it('pulls several folders, and lets one go that is offered no more', async () => {
  const feeds = [new FakeFolderFeed('media'), new FakeFolderFeed('emoji')];
  const stores = new Map(feeds.map(({ folderId }) => [folderId, new FakeMirrorStore()]));
  for (const feed of feeds) {
    fill(feed, 12);
    feed.scan();
  }
  const link = new ReplicationLink({ feeds, stores });
  await until(
    'both folders are complete',
    () => link.pull.progress().filter(({ complete }) => complete).length === 2,
  );
  for (const feed of feeds) expect(stores.get(feed.folderId)?.tree()).toEqual(sourceTree(feed));
  feeds.pop();
  link.foldersChanged();
  await until('the folder is let go', () => link.pull.progress().length === 1);
  await link.close();
});

it('keeps at most four batches in flight and commits them in order', async () => {
  const state = replica();
  state.feed.checkpointRecords = 1;
  fill(state.feed, 40);
  state.feed.batchRecords = 1;
  state.store.commitDelayMs = 5;
  state.feed.scan();
  const link = new ReplicationLink(state);
  let inFlightMax = 0;
  const watch = setInterval(() => {
    inFlightMax = Math.max(inFlightMax, link.count('records') - link.count('durable'));
  }, 0);
  await settled(link, state.feed, state.store);
  clearInterval(watch);
  await link.close();
  let open = 0;
  for (const message of link.messages) {
    if (message.type === 'records') open += 1;
    if (message.type === 'durable') open -= 1;
    expect(open).toBeLessThanOrEqual(4);
  }
  expect(state.store.commits.map(({ through }) => through)).toEqual(
    Array.from({ length: 40 }, (_, n) => n + 1),
  );
});
