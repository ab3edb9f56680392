import fs from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { Disk } from '../../shared/io/disk.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { FeedFake, fileState, storeFixture } from '../support/store-fixture.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

/** A disk that is exchanged under a store: files that are open are those of the old one, names are of the new one. */
let root: string;
let open: () => Promise<MirrorStore>;
let store: MirrorStore;
let feed: FeedFake;
let beforeRename: (() => void) | null;

beforeEach(async () => {
  beforeRename = null;
  const disk: Disk = {
    ...nodeDisk,
    rename: (from, to) => {
      beforeRename?.();
      beforeRename = null;
      nodeDisk.rename(from, to);
    },
  };
  ({ root, open } = storeFixture(memoryDirectory(), { disk }));
  store = await open();
  feed = new FeedFake(() => store);
  await feed.send({ a: 'first', b: 'bee' });
});

afterEach(async () => {
  await store.close();
});

/** Another directory with the same content stands in the place of the store's. */
function exchange(): void {
  fs.renameSync(root, `${root}.away`);
  fs.cpSync(`${root}.away`, root, { recursive: true });
}

async function bringBack(): Promise<void> {
  await store.close();
  fs.rmSync(root, { recursive: true });
  fs.renameSync(`${root}.away`, root);
  store = await open();
}

const contentOf = (name: string): string | undefined =>
  store.openCurrent(parseTypedPath(name))?.read(0, 100).toString();

it('is not in place when its directory is gone or another one is there', async () => {
  expect(store.isInPlace()).toBe(true);
  exchange();
  expect(store.isInPlace()).toBe(false);
  fs.rmSync(root, { recursive: true });
  expect(store.isInPlace()).toBe(false);
  fs.mkdirSync(root);
  await bringBack();
  expect(store.isInPlace()).toBe(true);
});

it('acknowledges nothing more, not even what changes no file', async () => {
  exchange();
  const failed = { code: 'DISK_FAILED', message: expect.stringContaining('vanished') as string };
  await expect(feed.send({ a: { ...fileState('first'), mode: 0o600 } })).rejects.toMatchObject(failed);
  expect(store.mustReopen).toBe(true);
  await bringBack();
  expect(store.position()?.sequence).toBe(2);
  feed.sequence = 2;
  await feed.send({ a: 'second' });
  expect(contentOf('a')).toBe('second');
});

it('acknowledges no batch in the middle of which the disk was exchanged, and completes it when it is back', async () => {
  beforeRename = exchange;
  await expect(feed.send({ a: 'second' })).rejects.toMatchObject({ code: 'DISK_FAILED' });
  await bringBack();
  expect(contentOf('b')).toBe('bee');
  expect(['first', 'second']).toContain(contentOf('a'));
  feed.sequence = store.position()?.sequence ?? 0;
  await feed.send({ a: 'third' });
  expect(contentOf('a')).toBe('third');
});
