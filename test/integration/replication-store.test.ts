import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { FakeFolderFeed } from '../support/fake-folder-feed.ts';
import { ReplicationLink } from '../support/replication-bench.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { readTree, storeFixture } from '../support/store-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { until } from '../support/until.ts';

const mib = 1024 * 1024;
let directory: string;

beforeEach(() => {
  directory = temporaryDirectory();
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true });
});

function changes(feed: FakeFolderFeed): void {
  feed.checkpointRecords = 4;
  feed.batchRecords = 4;
  for (let n = 0; n < 12; n += 1) feed.write(`d${n % 3}/file${n}`, seededBytes(`store${n}`, 3000 + n));
  feed.write('empty', '');
  feed.write('copy', seededBytes('store3', 3003));
  feed.write('large', seededBytes('store large', 3 * mib));
  feed.scan();
  feed.remove('d0/file3');
  feed.write('d1/file4', 'later');
  feed.scan();
}

/** Pulls over one link until everything is durable, or until the link is cut at that message. */
async function pull(feed: FakeFolderFeed, store: MirrorStore, cutAt = Infinity): Promise<ReplicationLink> {
  let count = 0;
  const link = new ReplicationLink(
    { feeds: [feed], stores: new Map([['media', store]]) },
    { onMessage: (message) => (count++ === cutAt ? null : message) },
  );
  const isDurable = (): boolean =>
    link.progress('media')?.complete === true && feed.batchAfter(store.position()?.sequence ?? 0) === null;
  // how many messages there are depends on what is durable when: one of the last may not come
  await until('everything is durable, or it is cut', () => count > cutAt || isDurable());
  await link.close();
  return link;
}

const currentOf = (root: string): Map<string, Buffer> => readTree(path.join(root, 'current'));
const sorted = (tree: ReadonlyMap<string, Buffer>): [string, Buffer][] =>
  [...tree].sort(([a], [b]) => (a < b ? -1 : 1));

it('brings the real store to the source, whatever message the link is cut at and with a restart behind it', async () => {
  const first = storeFixture(path.join(directory, 'uncut'));
  const uncutFeed = new FakeFolderFeed();
  changes(uncutFeed);
  const uncutStore = await first.open();
  const uncut = await pull(uncutFeed, uncutStore);
  await uncutStore.close();
  expect(sorted(currentOf(first.root))).toEqual(sorted(uncutFeed.source));
  for (let cutAt = 3; cutAt < uncut.messages.length; cutAt += 4) {
    const fixture = storeFixture(path.join(directory, `cut${cutAt}`));
    const feed = new FakeFolderFeed();
    changes(feed);
    let store = await fixture.open();
    const cut = await pull(feed, store, cutAt);
    await store.close();
    store = await fixture.open();
    const rest = await pull(feed, store);
    await store.close();
    expect(sorted(currentOf(fixture.root)), `cut at message ${cutAt}`).toEqual(sorted(feed.source));
    expect(cut.contentBytes() + rest.contentBytes()).toBeLessThanOrEqual(uncut.contentBytes() + 1.2 * mib);
  }
});

it('costs no content when the receiver loses its database or the agent its own, and empties with an empty index', async () => {
  const fixture = storeFixture(directory);
  const feed = new FakeFolderFeed();
  changes(feed);
  let store = await fixture.open();
  await pull(feed, store);
  await store.close();
  fs.rmSync(fixture.databasePath);
  store = await fixture.open();
  expect((await pull(feed, store)).contentBytes()).toBe(0);
  feed.loseIndex();
  feed.remove('copy');
  feed.scan();
  expect((await pull(feed, store)).contentBytes()).toBe(0);
  expect(sorted(currentOf(fixture.root))).toEqual(sorted(feed.source));
  feed.loseIndex();
  feed.source.clear();
  feed.scan();
  await pull(feed, store);
  expect(currentOf(fixture.root).size).toBe(0);
  await store.close();
});

it('sends only what is new of a large file, from the version in the store', async () => {
  const fixture = storeFixture(directory);
  const feed = new FakeFolderFeed();
  const old = seededBytes('video', 10 * mib);
  feed.write('video', old);
  feed.scan();
  const store = await fixture.open();
  await pull(feed, store);
  feed.write(
    'video',
    Buffer.concat([old.subarray(0, 4 * mib), Buffer.from('inserted'), old.subarray(4 * mib)]),
  );
  feed.scan();
  expect((await pull(feed, store)).contentBytes()).toBeLessThan(1.5 * mib);
  expect(sorted(currentOf(fixture.root))).toEqual(sorted(feed.source));
  await store.close();
});
