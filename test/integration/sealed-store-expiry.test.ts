import fs from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import { keptHistory, nothingKept } from '../support/kept-history.ts';
import {
  packObject,
  SealedFeedFake,
  sealedStoreFixture,
  versionObjects,
} from '../support/sealed-store-fixture.ts';
import { removeDatabase } from '../support/store-harness.ts';
import { lose, namesOf, storedNames, type Loss } from '../support/sealed-store-files.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const dayMs = 86_400_000;
const [root, a, b] = [packObject('root'), packObject('a'), packObject('b')];
const first = versionObjects(1, [root, a]);
const second = versionObjects(2, [b, a], { previous: first.hash });

let now: number;
let directory: string;
let fixture: ReturnType<typeof sealedStoreFixture>;
let store: SealedStore;
let feed: SealedFeedFake;

beforeEach(async () => {
  now = 1_800_000_000_000;
  directory = memoryDirectory();
  fixture = sealedStoreFixture(directory, { now: () => now });
  store = await fixture.open();
  feed = new SealedFeedFake(() => store);
});

afterEach(async () => {
  await store.close();
  fs.rmSync(directory, { recursive: true });
});

async function reopen(losing: Loss = 'nothing'): Promise<void> {
  await store.close();
  lose(losing, fixture);
  store = await fixture.open();
}

const stored = (): string[] => storedNames(fixture.root);
const versions = (): [number: number, complete: boolean][] =>
  store.listVersions().map(({ number, complete }) => [number, complete]);

const named = { id: 'database', kind: 'sealed', epoch: '', number: 1, record: '' } as const;
const third = versionObjects(3, [b], { previous: second.hash });

async function sendThree(): Promise<void> {
  await feed.send([root, a, first.json, first.signature]);
  now += dayMs;
  await feed.send([b, second.json, second.signature]);
  now += dayMs;
  await feed.send([third.json, third.signature]);
}

it('lets a version go that no kept point names, with the packs that it alone needs, and the newest complete version and what is younger than the floor stay', async () => {
  await sendThree();
  now += 10 * dayMs;
  expect((await store.expire(now, { ...nothingKept, floorDays: 12.5 })).versions).toBe(0);
  expect((await store.expire(now, { ...nothingKept, floorDays: 11.5 })).versions).toBe(1);
  expect(stored()).toEqual(namesOf([a, b, second.json, second.signature, third.json, third.signature]));
  expect(await store.expire(now, { ...nothingKept, newestComplete: 2 })).toMatchObject({ versions: 0 });
  expect(await store.expire(now, nothingKept)).toEqual({ versions: 1, packs: 1, bytes: a.content.length });
  expect(stored()).toEqual(namesOf([b, third.json, third.signature]));
  now += 3650 * dayMs;
  expect((await store.expire(now, { ...nothingKept, newestComplete: 0 })).versions).toBe(0);
});

it('keeps a pack of a dump that was not finished for seven days', async () => {
  await feed.send([root, a]);
  expect(await store.expire(now + 7 * dayMs - 1000, nothingKept)).toMatchObject({ packs: 0 });
  expect(await store.expire(now + 7 * dayMs + 1000, nothingKept)).toMatchObject({ packs: 2 });
});

it('lets versions go, and one that a kept point names stays with its packs', async () => {
  await sendThree();
  now += 10 * dayMs;
  const part = { ...named, record: first.hash };
  expect(await store.expire(now, keptHistory([part]))).toMatchObject({ versions: 1, packs: 0 });
  expect(versions()).toEqual([
    [1, true],
    [3, true],
  ]);
  for (const losing of ['nothing', 'database', 'database and journal'] as const) {
    await reopen(losing);
    expect(versions(), losing).toEqual([
      [1, true],
      [3, true],
    ]);
    expect(store.missingPacks(), losing).toEqual([]);
  }
  expect(fixture.refused).toEqual([]);
});

it('lets nothing go without the key of the agent, as nobody knows then what versions need', async () => {
  await sendThree();
  await store.close();
  removeDatabase(fixture.databasePath);
  store = await sealedStoreFixture(directory, { now: () => now, agentKey: () => null }).open();
  now += 400 * dayMs;
  expect(await store.expire(now, nothingKept)).toEqual({ versions: 0, packs: 0, bytes: 0 });
  await reopen();
  expect(versions()).toHaveLength(3);
  expect(store.missingPacks()).toEqual([]);
});

it('lets a version go also when it lacks packs, but for the newest version of all', async () => {
  await feed.send([root, a, first.json, first.signature]);
  await feed.send([second.json, second.signature], { gone: [b] });
  now += 10 * dayMs;
  expect(await store.expire(now, keptHistory([{ ...named, record: second.hash }]))).toMatchObject({
    versions: 0,
  });
  await feed.send([third.json, third.signature]);
  now += 10 * dayMs;
  // whatever is asked for, the newest complete one stays, and no complete one beside it
  expect(await store.expire(now, { ...nothingKept, newestComplete: 0 })).toMatchObject({ versions: 1 });
  expect(versions()).toEqual([
    [1, true],
    [3, false],
  ]);
  await feed.send([b]);
  expect(await store.expire(now, { ...nothingKept, newestComplete: 0 })).toMatchObject({ versions: 1 });
  expect(versions()).toEqual([[3, true]]);
});
