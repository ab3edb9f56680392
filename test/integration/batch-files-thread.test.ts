import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BatchFilesThread } from '../../receiver/store/batch-files-thread.ts';
import { diskPath } from '../../shared/io/disk.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { FeedFake, readTree, storeFixture } from '../support/store-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

let files: BatchFilesThread;

beforeEach(() => {
  files = new BatchFilesThread();
});

afterEach(async () => {
  await files.close();
});

it('stores what comes by a thread, in new directories and in old ones, with its time', async () => {
  const { open, root } = storeFixture(undefined, { files });
  const store = await open();
  const feed = new FeedFake(() => store);
  await feed.send({ 'a/b/one': '1', 'a/two': '2', 'a/\u00fc': 'not ascii' });
  await feed.send({ 'a/b/three': '3', 'a/two': 'replaced', 'c/d/e/four': '4' });
  const stored = Object.fromEntries(
    [...readTree(`${root}/current`)].map(([name, content]) => [
      Buffer.from(name, 'latin1').toString(),
      content.toString(),
    ]),
  );
  expect(stored).toMatchObject({
    'a/b/one': '1',
    'a/b/three': '3',
    'a/two': 'replaced',
    'c/d/e/four': '4',
  });
  expect(Object.keys(stored)).toHaveLength(5);
  expect(Math.floor(fs.statSync(`${root}/current/c/d/e/four`).mtimeMs)).toBe(1_700_000_000_123);
  expect(fs.readdirSync(`${root}/incoming`)).toEqual([]);
  await store.close();
});

it('moves away what nobody announced where a file or a directory has to be', async () => {
  const { open, root } = storeFixture(undefined, { files });
  const store = await open();
  const feed = new FeedFake(() => store);
  fs.writeFileSync(`${root}/current/way`, 'a file in the way of a directory');
  fs.mkdirSync(`${root}/current/old`);
  fs.symlinkSync('/nowhere', `${root}/current/old/name`);
  const batches = [
    { before: 'b', 'way/below/file': 'f' },
    { 'old/name': 'n', behind: 'h' },
  ];
  for (const batch of batches) await feed.send(batch);
  for (const [name, content] of Object.entries({ ...batches[0], ...batches[1] }))
    expect(fs.readFileSync(path.join(root, 'current', name), 'utf8')).toBe(content);
  const movedAway = fs.readdirSync(`${root}/versions`, { recursive: true, encoding: 'utf8' });
  for (const name of ['way~', 'old/name~'])
    expect(movedAway.filter((moved) => moved.startsWith(name))).toHaveLength(1);
  expect(store.usage()).toMatchObject({ files: 4, versions: 0 });
  await store.close();
});

it('tells what the disk refused as the store would have met it, and what breaks off when it is closed', async () => {
  const directory = diskPath(temporaryDirectory());
  await expect(files.syncContents(directory, [{ temp: 'missing', mtimeNs: 1n }])).rejects.toMatchObject({
    code: 'DISK_FAILED',
    context: { systemCode: 'ENOENT', call: 'open' },
  });
  const additions = { incoming: directory, current: `${directory}/gone`, directories: [] };
  const file = { path: parseTypedPath('a/b'), temp: 'missing' };
  await expect(files.add({ ...additions, files: [file] })).rejects.toMatchObject({ code: 'DISK_FAILED' });
  await expect(files.add({ ...additions, current: directory, files: [] })).resolves.toBe(true);
  const underWay = files.syncContents(directory, []).catch((error: unknown) => error);
  await files.close();
  await expect(files.add({ ...additions, files: [] })).rejects.toMatchObject({ code: 'INTERNAL' });
  await underWay;
});

it('acknowledges nothing of a batch whose content is gone when its place was taken by something else', async () => {
  const { open, root } = storeFixture(undefined, {
    files: {
      syncContents: async (...args) => files.syncContents(...args),
      add: async (additions) => {
        for (const { temp } of additions.files) fs.rmSync(`${root}/incoming/${temp}`);
        return false;
      },
    },
  });
  const store = await open();
  const feed = new FeedFake(() => store);
  await expect(feed.send({ a: 'one' })).rejects.toMatchObject({ code: 'DISK_FAILED' });
  expect(store.mustReopen).toBe(true);
  await store.close();
  const again = await open();
  expect(again.opened.finishedBatch).toBe(true);
  expect([again.position(), again.current(parseTypedPath('a'))]).toEqual([null, null]);
  await again.close();
});
