import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { historyOfStores } from '../../receiver/serve/restore-history.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Disk } from '../../shared/io/disk.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { rootPath } from '../../shared/records/relative-path.ts';
import type { GoneReason } from '../../shared/protocol/gone.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { FeedFake, sha256, storeFixture } from '../support/store-fixture.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';
import { noHeldPoints } from '../support/no-held-points.ts';

const contents = { small: seededBytes('small', 5000), large: seededBytes('large', 3_000_000) };

let roots: string[];
let stores: MirrorStore[];
/** Places whose content cannot be read. */
let unreadable: Set<string>;

beforeEach(async () => {
  roots = [];
  stores = [];
  unreadable = new Set();
  const bad = new Set<number>();
  const disk: Disk = {
    ...nodeDisk,
    open: (place, how) => {
      const fd = nodeDisk.open(place, how);
      bad.delete(fd);
      if (unreadable.has(place)) bad.add(fd);
      return fd;
    },
    read: (fd, target, position) => {
      if (bad.has(fd)) throw new CodedError('DISK_FAILED', 'the disk refused read (EIO)');
      return nodeDisk.read(fd, target, position);
    },
  };
  for (const folder of ['media', 'other']) {
    const elsewhere = (hash: Buffer) =>
      stores.filter((_, at) => roots[at] !== root).flatMap((store) => store.copies(hash));
    const directory = path.join(memoryDirectory(), folder);
    const { root, open } = storeFixture(directory, { disk, copiesElsewhere: elsewhere });
    roots.push(root);
    stores.push(await open());
  }
  const [first, second] = stores.map((store) => new FeedFake(() => store));
  // three copies of each: current, a version, and one in another folder
  await first?.send({ old: contents.small, 'old large': contents.large });
  await first?.send({ a: contents.small, 'a large': contents.large, old: 'new', 'old large': 'new' });
  await second?.send({ b: contents.small, 'b large': contents.large });
});

afterEach(async () => {
  for (const store of stores) await store.close();
});

/** Where the copies of that size are: the one that is tried first, first. */
function copiesOf(content: Buffer): string[] {
  return roots.flatMap((root) =>
    ['current', 'versions'].flatMap((part) =>
      fs
        .readdirSync(path.join(root, part))
        .map((name) => path.join(root, part, name))
        .filter((file) => fs.statSync(file).size === content.length),
    ),
  );
}

const damages: Record<string, (file: string) => void> = {
  'a flipped bit': (file) => {
    const bytes = fs.readFileSync(file);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    fs.writeFileSync(file, bytes);
  },
  'a lost end': (file) => fs.truncateSync(file, 1000),
  'a grown end': (file) => fs.appendFileSync(file, 'more'),
  'a lost file': (file) => fs.rmSync(file),
  'a bad sector': (file) => void unreadable.add(file),
};

async function given(content: Buffer): Promise<Buffer | GoneReason> {
  const history = historyOfStores(new Map(stores.map((store, at) => [`${at}`, store])), noHeldPoints);
  const opened = await history.content.open('0', rootPath, sha256(content));
  if (typeof opened === 'string') return opened;
  try {
    const list = content.length > 1_048_576 ? await opened.chunkList() : [{ length: content.length }];
    if (typeof list === 'string') return list;
    expect(list.reduce((sum, { length }) => sum + length, 0)).toBe(content.length);
    const got = Buffer.alloc(opened.size);
    for (let at = 0; at < got.length;) {
      const bytes = await opened.read(at, got.subarray(at, at + 500_000));
      if (typeof bytes === 'string') return bytes;
      at += bytes;
    }
    return got;
  } finally {
    opened.close();
  }
}

const cases = Object.entries(contents).flatMap(([size, content]) =>
  Object.entries(damages).map(([name, damage]) => ({ size, content, name, damage })),
);

it.each(cases)('gives $size content although $name made all copies but one useless', async (one) => {
  const copies = copiesOf(one.content);
  expect(copies).toHaveLength(3);
  for (const copy of copies.slice(0, -1)) one.damage(copy);
  expect(await given(one.content)).toEqual(one.content);
  one.damage(copies.at(-1) ?? '');
  expect(await given(one.content)).toMatch(/^(vanished|changed|unreadable)$/);
});

it.each([0, 1, 2])('finds the content wherever the only copy is left (%s)', async (left) => {
  for (const [at, copy] of copiesOf(contents.small).entries()) if (at !== left) fs.rmSync(copy);
  expect(await given(contents.small)).toEqual(contents.small);
});

it('goes on with another copy where the first one fails in the middle of a large content', async () => {
  const history = historyOfStores(new Map(stores.map((store, at) => [`${at}`, store])), noHeldPoints);
  const opened = await history.content.open('0', rootPath, sha256(contents.large));
  if (typeof opened === 'string') throw new Error(opened);
  const start = Buffer.alloc(100_000);
  const startBytes = await opened.read(0, start);
  damages['a flipped bit']?.(copiesOf(contents.large)[0] ?? '');
  const end = Buffer.alloc(1000);
  const endBytes = await opened.read(contents.large.length - 1000, end);
  opened.close();
  expect([startBytes, endBytes]).toEqual([100_000, 1000]);
  expect(start).toEqual(contents.large.subarray(0, 100_000));
  expect(end).toEqual(contents.large.subarray(-1000));
});

it.each(cases)('takes $size content from a good copy for a new path: $name', async (one) => {
  const [first] = stores;
  if (first === undefined) throw new Error('no store');
  const copies = copiesOf(one.content);
  for (const copy of copies.slice(0, -1)) one.damage(copy);
  const hash = sha256(one.content);
  expect(await first.stageHeld(hash, one.content.length)).toBe(true);
  one.damage(copies.at(-1) ?? '');
  const [, second] = stores;
  expect(await second?.stageHeld(hash, one.content.length)).toBe(false);
});
