import { allVersionsKept } from '../support/kept-history.ts';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import {
  agentPublicKey,
  epochB,
  packObject,
  SealedFeedFake,
  sealedStoreFixture,
  versionObjects,
} from '../support/sealed-store-fixture.ts';
import { fileState, indexB, readTree, sha256, symlinkState } from '../support/store-fixture.ts';
import { lose, namesOf, storedNames, type Loss } from '../support/sealed-store-files.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const dayMs = 86_400_000;
const [root, a, b, c] = [packObject('root'), packObject('a'), packObject('b'), packObject('c')];

let now = 1_800_000_000_000;
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

const first = versionObjects(1, [root, a]);
const second = versionObjects(2, [b, a], { previous: first.hash });

const stored = (): string[] => storedNames(fixture.root);

function versions(): [number: number, complete: boolean][] {
  return store.listVersions().map(({ number, complete }) => [number, complete]);
}

const sendFirst = (): Promise<void> => feed.send([root, a, first.json, first.signature]);
const sendSecond = (): Promise<void> => feed.send([b, second.json, second.signature]);

it('keeps packs and signed versions as plain files, and shares packs between versions', async () => {
  await sendFirst();
  now += 1000;
  await sendSecond();
  const objects = [root, a, b, first.json, first.signature, second.json, second.signature];
  expect(stored()).toEqual(namesOf(objects));
  expect(readTree(fixture.root).get(a.path)).toEqual(a.content);
  expect(versions()).toEqual([
    [1, true],
    [2, true],
  ]);
  expect(store.usage()).toEqual({
    versions: 2,
    bytes: objects.reduce((sum, { content }) => sum + content.length, 0),
    lastDurableAt: now,
  });
  expect(store.missingPacks()).toEqual([]);
  expect(fixture.refused).toEqual([]);
});

it('makes a version of halves that come in different batches', async () => {
  await feed.send([root, a, first.json]);
  expect(versions()).toEqual([]);
  await reopen();
  await feed.send([first.signature]);
  expect(versions()).toEqual([[1, true]]);
  await feed.send([b, second.signature]);
  await feed.send([second.json]);
  expect(versions()).toEqual([
    [1, true],
    [2, true],
  ]);
});

it('has everything again from the journal when the database is lost', async () => {
  await sendFirst();
  await sendSecond();
  const before = { versions: store.listVersions(), usage: store.usage(), position: store.position() };
  await reopen('database');
  expect({ versions: store.listVersions(), usage: store.usage(), position: store.position() }).toEqual(
    before,
  );
  expect(store.opened.rebuiltIndex).toBe(true);
});

it('has everything again from the plain files when database and journal are lost', async () => {
  await sendFirst();
  await sendSecond();
  const bad = packObject('damaged');
  fs.writeFileSync(path.join(fixture.root, bad.path), 'something else');
  await reopen('database and journal');
  expect(versions()).toEqual([
    [1, true],
    [2, true],
  ]);
  expect(store.position()).toBeNull();
  const listed = store.entriesAt({ at: null, after: null, limit: 100 }).entries;
  expect(listed.map((entry): string => entry.path)).not.toContain(bad.path);
  feed.sequence = 0;
  feed.indexId = indexB;
  const record = { path: a.path, sequence: 1, replaces: null, state: fileState(a.content) };
  expect(store.need(record)).toBe('nothing');
  expect(store.need({ ...record, path: bad.path, state: fileState(bad.content) })).toBe('fetch');
  await feed.send([root, a, bad, b, first.json, first.signature, second.json, second.signature]);
  expect(fs.readFileSync(path.join(fixture.root, bad.path))).toEqual(bad.content);
  expect(versions()).toHaveLength(2);
});

describe('what a sealed folder does not have', () => {
  const announce = (name: string, state: Parameters<SealedStore['need']>[0]['state']) => () =>
    store.need({ path: name as RelativePath, sequence: 1, replaces: null, state });
  it.each([
    ['another name', () => announce('packs/readme.txt', fileState('x'))],
    ['a climbing name', () => announce(`packs/../${a.path}`, fileState(a.content))],
    ['a pack under the hash of another', () => announce(a.path, fileState(b.content))],
    ['an empty pack', () => announce(packObject('').path, fileState(''))],
    ['a link', () => announce(a.path, symlinkState('/etc/passwd'))],
    ['a directory', () => announce(a.path, { kind: 'directory', mode: 0o755, uid: 0, gid: 0 })],
    ['a pack of 25 MiB', () => announce(a.path, { ...fileState(a.content), size: 25 * 1024 * 1024 })],
  ])('refuses %s', (_, make) => {
    expect(make()).toThrow(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }));
  });

  it('ignores deletions', async () => {
    await sendFirst();
    const gone = new Map([root, a, first.json, first.signature].map(({ path }) => [path as string, deleted]));
    await feed.send([root, a, first.json, first.signature], { states: gone });
    expect(versions()).toEqual([[1, true]]);
    expect(stored()).toEqual(namesOf([root, a, first.json, first.signature]));
    feed.indexId = indexB;
    feed.sequence = 0;
    await feed.send([b]);
    await store.completeIndex(feed.position());
    expect(stored()).toEqual(namesOf([root, a, b, first.json, first.signature]));
  });
  const deleted = { kind: 'deleted' } as const;
});

it('starts an epoch of its own for a new epoch', async () => {
  await sendFirst();
  const anew = versionObjects(1, [c], { epoch: epochB, previous: first.hash });
  await feed.send([c, anew.json, anew.signature]);
  expect(versions()).toEqual([
    [1, true],
    [1, true],
  ]);
});

describe('missing packs', () => {
  it('make a version incomplete until they come, and are told', async () => {
    await feed.send([root, first.json, first.signature], { gone: [a] });
    expect(versions()).toEqual([[1, false]]);
    expect(store.usage().lastDurableAt).toBeNull();
    expect(store.missingPacks()).toEqual([sha256(a.content)]);
    await reopen();
    expect(store.missingPacks()).toEqual([sha256(a.content)]);
    await feed.send([a]);
    expect(versions()).toEqual([[1, true]]);
    expect(store.missingPacks()).toEqual([]);
  });

  it('are found when they have vanished from the disk, and are taken again', async () => {
    await sendFirst();
    await sendSecond();
    fs.rmSync(path.join(fixture.root, b.path));
    await reopen();
    expect(store.missingPacks()).toEqual([sha256(b.content)]);
    expect(versions()).toEqual([
      [1, true],
      [2, false],
    ]);
    await feed.send([b]);
    expect(versions()).toEqual([
      [1, true],
      [2, true],
    ]);
    expect(fs.readFileSync(path.join(fixture.root, b.path))).toEqual(b.content);
  });

  it('are also those that were found damaged; the damaged file is put aside', async () => {
    await sendFirst();
    fs.writeFileSync(path.join(fixture.root, a.path), 'bit rot');
    store.reportDamaged(sha256(a.content));
    expect(versions()).toEqual([[1, false]]);
    await feed.send([a]);
    expect(versions()).toEqual([[1, true]]);
    expect(stored().filter((name) => name.startsWith('damaged/'))).toHaveLength(1);
    expect(fs.readFileSync(path.join(fixture.root, a.path))).toEqual(a.content);
  });

  it('are also those whose version lost its record: nobody can say what it needs', async () => {
    await sendFirst();
    await sendSecond();
    fs.rmSync(path.join(fixture.root, second.json.path));
    await reopen();
    expect(versions()).toEqual([
      [1, true],
      [2, false],
    ]);
  });

  it('are told when they were announced and gone, though no version needs them', async () => {
    await feed.send([root], { gone: [c] });
    expect(store.missingPacks()).toEqual([sha256(c.content)]);
  });
});

describe('the lease', () => {
  it('keeps packs that no version needs for 7 days, and packs of versions for ever', async () => {
    await sendFirst();
    await feed.send([b]);
    now += 7 * dayMs - 10_000;
    expect(await store.expire(now, allVersionsKept)).toEqual({ versions: 0, packs: 0, bytes: 0 });
    now += 20_000;
    expect(await store.expire(now, allVersionsKept)).toEqual({
      versions: 0,
      packs: 1,
      bytes: b.content.length,
    });
    expect(stored()).toEqual(namesOf([root, a, first.json, first.signature]));
    expect(store.missingPacks()).toEqual([sha256(b.content)]);
    now += 3650 * dayMs;
    expect((await store.expire(now, allVersionsKept)).packs).toBe(0);
    await reopen('database');
    expect(versions()).toEqual([[1, true]]);
    expect(store.usage().bytes).toBe(
      [root, a, first.json, first.signature].reduce((sum, { content }) => sum + content.length, 0),
    );
  });

  it('that is over is told to the agent, also after a restart, until the pack comes again', async () => {
    await feed.send([b, c]);
    now += 8 * dayMs;
    await store.expire(now, allVersionsKept);
    const missing = (): string[] =>
      store
        .missingPacks()
        .map((hash) => hash.toString('hex'))
        .sort();
    const expired = [b, c].map(({ content }) => sha256(content).toString('hex')).sort();
    expect(missing()).toEqual(expired);
    await reopen();
    expect(missing()).toEqual(expired);
    await feed.send([c]);
    expect(store.missingPacks()).toEqual([sha256(b.content)]);
    await reopen();
    expect(store.missingPacks()).toEqual([sha256(b.content)]);
  });

  it('begins anew when a pack is announced again', async () => {
    await feed.send([b]);
    now += 6 * dayMs;
    feed.indexId = indexB;
    feed.sequence = 0;
    await feed.send([b]);
    now += 6 * dayMs;
    expect((await store.expire(now, allVersionsKept)).packs).toBe(0);
    now += 2 * dayMs;
    expect((await store.expire(now, allVersionsKept)).packs).toBe(1);
  });

  it('ends when a version needs the pack', async () => {
    await feed.send([root, a]);
    now += 6 * dayMs;
    await feed.send([first.json, first.signature]);
    now += 60 * dayMs;
    expect((await store.expire(now, allVersionsKept)).packs).toBe(0);
    expect(versions()).toEqual([[1, true]]);
  });
});

it('tells who can read the newest version and when that changed, also from the journal alone', async () => {
  const [ann, bob, eve] = ['AAAAAAAAAAAAAAAA', 'BBBBBBBBBBBBBBBB', 'EEEEEEEEEEEEEEEE'];
  const sets = [[ann, bob], [ann, bob], [ann, eve], [bob, ann], []];
  expect(store.recipients()).toEqual({ keyIds: null, changes: [] });
  let previous: string | null = null;
  for (const [at, recipients] of sets.entries()) {
    const epoch = `00000000000000a${at}`;
    const { json, signature, hash } = versionObjects(at + 1, [root], { previous, recipients, epoch });
    await feed.send([root, json, signature]);
    previous = hash;
    now += dayMs;
  }
  const start = now - 5 * dayMs;
  const told = {
    keyIds: [],
    changes: [
      { at: start + 4 * dayMs, number: 5, epoch: '00000000000000a4', added: [], removed: [bob, ann] },
      { at: start + 3 * dayMs, number: 4, epoch: '00000000000000a3', added: [bob], removed: [eve] },
      { at: start + 2 * dayMs, number: 3, epoch: '00000000000000a2', added: [eve], removed: [bob] },
    ],
  };
  expect(store.recipients()).toEqual(told);
  await reopen('database');
  expect(store.recipients()).toEqual(told);
});

it('shows a restore the key of the agent, packs and versions, at any moment', async () => {
  await sendFirst();
  const before = store.changedAt();
  now += 60_000;
  await sendSecond();
  const pem = agentPublicKey.export({ type: 'spki', format: 'pem' });
  const shown = (at: number | null): string[] =>
    store.entriesAt({ at, after: null, limit: 100 }).entries.map((entry): string => entry.path);
  expect(shown(before)).toEqual(['agent.pem', ...namesOf([root, a, first.json, first.signature])]);
  const all = namesOf([root, a, b, first.json, first.signature, second.json, second.signature]);
  expect(shown(null)).toEqual(['agent.pem', ...all]);
  for (const limit of [1, 3, 7]) {
    const paged: string[] = [];
    for (let after: RelativePath | null = null; ;) {
      const page: ReturnType<SealedStore['entriesAt']> = store.entriesAt({ at: null, after, limit });
      paged.push(...page.entries.map((entry): string => entry.path));
      after = page.next;
      if (after === null) break;
    }
    expect(paged).toEqual(['agent.pem', ...all]);
  }
  expect(store.copies(sha256(pem))[0]?.()?.read(0, 1000).toString()).toBe(pem);
  expect(store.copies(sha256(a.content))[0]?.()?.size).toBe(a.content.length);
});
