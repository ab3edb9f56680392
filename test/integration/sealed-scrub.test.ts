import fs from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import { allVersionsKept } from '../support/kept-history.ts';
import { RottingDisk } from '../support/long-scrub-bench.ts';
import { scrubPass, subjectOf, type PassOptions } from '../support/scrub-store.ts';
import {
  packObject,
  SealedFeedFake,
  sealedStoreFixture,
  versionObjects,
  type SealedObject,
} from '../support/sealed-store-fixture.ts';
import { readTree, sha256 } from '../support/store-fixture.ts';
import { removeDatabase } from '../support/store-harness.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const [root, a, b] = [packObject('root'), packObject('a'), packObject('b')];
const first = versionObjects(1, [root, a]);
const second = versionObjects(2, [root, b], { previous: first.hash });

let directory: string;
let fixture: ReturnType<typeof sealedStoreFixture>;
let store: SealedStore;
let feed: SealedFeedFake;

beforeEach(async () => {
  directory = memoryDirectory();
  fixture = sealedStoreFixture(directory);
  store = await fixture.open();
  feed = new SealedFeedFake(() => store);
  await feed.send([root, a, first.json, first.signature]);
  await feed.send([b, second.json, second.signature]);
});
afterEach(async () => {
  await store.close();
  fs.rmSync(directory, { recursive: true });
});

const place = ({ path: name }: SealedObject): string => path.join(fixture.root, name);
const versions = () => store.listVersions().map(({ number, complete }) => [number, complete]);
const damaged = () => store.scrub.damaged(null, 100).map((one) => [one.path, one.found]);
const pass = async (options: PassOptions = {}) => scrubPass(() => store, options);

async function reopen(): Promise<void> {
  await store.close();
  store = await fixture.open();
}

it('says nothing of a sealed store that is whole', async () => {
  expect(await pass()).toMatchObject({ found: 0, extras: [], books: [] });
});

it.each([
  ['with flipped bits', () => fs.writeFileSync(place(a), Buffer.from(a.content).fill(0x58, 3, 4))],
  ['that is cut off', () => fs.truncateSync(place(a), 10)],
  ['that is gone', () => fs.rmSync(place(a))],
])('quarantines a pack %s and reports it missing, until it comes again', async (_, damage) => {
  damage();
  expect(await pass()).toMatchObject({ found: 1, repaired: 0 });
  expect(versions()).toEqual([
    [1, false],
    [2, true],
  ]);
  expect(store.missingPacks()).toEqual([sha256(a.content)]);
  expect(fs.existsSync(place(a))).toBe(false);
  await reopen();
  expect(store.missingPacks()).toEqual([sha256(a.content)]);
  expect(damaged()).toHaveLength(1);
  await feed.send([a]);
  expect(versions()).toEqual([
    [1, true],
    [2, true],
  ]);
  expect(damaged()).toEqual([]);
  expect(readTree(`${fixture.root}/damaged`).size).toBe(0);
  expect(await pass()).toMatchObject({ found: 0, extras: [], books: [] });
});

it('reads long packs in stretches, and finds damage in them', async () => {
  await store.close();
  const rotting = new RottingDisk(() => fixture.root);
  const { disk } = rotting;
  fixture = sealedStoreFixture(directory, { disk }, { scrubLimits: { longFile: 200, page: 64 } });
  store = await fixture.open();
  const c = packObject('c');
  await feed.send([c]);
  const { steps } = await pass();
  const inStretches = Math.ceil(c.content.length / 64) - 1;
  expect(steps).toBeGreaterThan(inStretches);
  rotting.rot.set(c.path, { wrongAt: [c.content.length - 1] });
  expect(await pass()).toMatchObject({ found: 1 });
  expect(store.missingPacks()).toEqual([sha256(c.content)]);
});

it('reports a damaged pack that no version needs yet, also after a restart', async () => {
  const c = packObject('c');
  await feed.send([c]);
  fs.truncateSync(place(c), 3);
  await pass();
  expect(store.missingPacks()).toEqual([sha256(c.content)]);
  await reopen();
  expect(store.missingPacks()).toEqual([sha256(c.content)]);
  await feed.send([c]);
  expect(store.missingPacks()).toEqual([]);
  expect(fs.readFileSync(place(c))).toEqual(c.content);
});

it.each([
  ['record', second.json],
  ['signature', second.signature],
])('marks a version whose %s is damaged, and asks for it again', async (_, object) => {
  fs.appendFileSync(place(object), ' ');
  const asked: FileRecord[] = [];
  const fetchAgain = async (records: readonly FileRecord[]): Promise<boolean> => {
    asked.push(...records);
    return false;
  };
  expect(await pass({ fetchAgain })).toMatchObject({ found: 1, repaired: 0 });
  expect(versions()).toEqual([
    [1, true],
    [2, false],
  ]);
  expect(asked.map((record) => record.path)).toEqual([object.path]);
  await reopen();
  expect(versions()).toEqual([
    [1, true],
    [2, false],
  ]);
  const record = asked[0];
  if (record === undefined) throw new Error('nothing was asked for');
  expect(store.need(record)).toBe('fetch');
  store.stage(sha256(object.content), object.content);
  expect(await subjectOf(store).repair(async () => {})).toBe(1);
  expect(versions()).toEqual([
    [1, true],
    [2, true],
  ]);
  expect(await pass()).toMatchObject({ found: 0, books: [] });
});

it('removes the damaged bytes of a pack that nobody needs when its lease is over', async () => {
  const c = packObject('c');
  await feed.send([c]);
  fs.truncateSync(place(c), 3);
  await pass();
  expect(readTree(`${fixture.root}/damaged`).size).toBe(1);
  await store.expire(Date.now() + 8 * 86_400_000, allVersionsKept);
  expect(readTree(`${fixture.root}/damaged`).size).toBe(0);
  expect(damaged()).toEqual([]);
});

it('tells of files that nobody stored, and takes none of them for a pack', async () => {
  const c = packObject('c');
  fs.writeFileSync(place(c), c.content);
  fs.writeFileSync(path.join(fixture.root, 'versions', 'notes.txt'), 'mine');
  expect((await pass()).extras).toEqual([c.path, 'versions/notes.txt']);
  expect(store.need({ path: c.path, sequence: 99, replaces: null, state: { kind: 'deleted' } })).toBe(
    'nothing',
  );
});

it.each([
  ['another version', 'UPDATE sealed_versions SET hash = zeroblob(32) WHERE number = 2'],
  ['a pack less', 'DELETE FROM sealed_packs WHERE versions = 1'],
  ['a pack less often', 'UPDATE sealed_packs SET versions = 1 WHERE versions = 2'],
])('makes the database anew when it says %s than the records', async (_, sql) => {
  const other = new Database(fixture.databasePath);
  expect(other.prepare(sql).run().changes).toBeGreaterThan(0);
  other.close();
  const rebuild = async (): Promise<void> => {
    await store.close();
    removeDatabase(fixture.databasePath);
    store = await fixture.open();
  };
  expect(await pass({ rebuild })).toMatchObject({ found: 1, books: ['DATABASE_CORRUPT', 'over'] });
  expect(versions()).toEqual([
    [1, true],
    [2, true],
  ]);
  expect(await pass()).toMatchObject({ found: 0, books: [] });
});
