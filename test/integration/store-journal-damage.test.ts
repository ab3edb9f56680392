import fs from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { FeedFake, readTree, sha256, storeFixture, symlinkState } from '../support/store-fixture.ts';
import { removeDatabase } from '../support/store-harness.ts';
import { until } from '../support/until.ts';

let store: MirrorStore;

afterEach(async () => {
  await store.close();
});

const segment = (root: string): string => `${root}/journal/000001.journal`;

function journalLines(root: string): string[] {
  return fs.readFileSync(segment(root), 'utf8').split('\n').slice(0, -1);
}

function damageLine(root: string, isWanted: (line: string) => boolean): void {
  const lines = journalLines(root);
  const at = lines.findIndex(isWanted);
  expect(at).toBeGreaterThan(0);
  lines[at] = (lines[at] ?? '').replace('"', "'");
  fs.writeFileSync(segment(root), `${lines.join('\n')}\n`);
}

/** A closed store with a history: `a` replaced twice, `b` deleted, a link. */
async function closedStore() {
  const fixture = storeFixture();
  store = await fixture.open();
  const feed = new FeedFake(() => store);
  await feed.send({ a: 'one', b: 'bee', link: symlinkState('a') });
  await feed.send({ a: 'two' });
  await feed.send({ a: 'three', b: null });
  await store.close();
  return { ...fixture, feed };
}

it('cuts off the torn end of the last write', async () => {
  const { open, root } = await closedStore();
  fs.appendFileSync(segment(root), '00000000 {"type":"torn');
  store = await open();
  expect(store.opened).toEqual({
    rebuiltIndex: false,
    damagedDatabase: false,
    finishedBatch: false,
    damagedJournal: null,
  });
  expect(store.position()?.sequence).toBe(6);
  expect(fs.readFileSync(segment(root), 'utf8')).not.toContain('torn');
});

it('writes a damaged journal anew from a database that is good', async () => {
  const { open, root } = await closedStore();
  damageLine(root, (line) => line.includes('"path":"a"'));
  store = await open();
  expect(store.opened.damagedJournal).toMatchObject({ segment: 1 });
  expect(store.position()?.sequence).toBe(6);
  expect(fs.readdirSync(`${root}/journal`)).toEqual(['000001.journal.damaged', '000002.journal']);
  await store.close();
  store = await open();
  expect(store.opened.damagedJournal).toBeNull();
  expect(store.listVersions(parseTypedPath('a'))).toHaveLength(2);
});

it.each([
  [
    'the first content of a path',
    (line: string) => line.includes('"path":"b"') && line.includes('"replaced":null'),
  ],
  ['a replacement', (line: string) => line.includes('"path":"a"') && line.includes('"replaced":{')],
  ['a deletion', (line: string) => line.includes('"type":"remove"')],
  ['the begin of a batch', (line: string) => line.includes('"type":"begin","batch":3')],
  ['the commit of a batch', (line: string) => line.includes('"type":"commit","batch":3')],
])('keeps all bytes when the database and the line of %s are lost', async (_, isWanted) => {
  const { open, root, databasePath, feed } = await closedStore();
  const [current, versions] = [readTree(`${root}/current`), readTree(`${root}/versions`)];
  removeDatabase(databasePath);
  damageLine(root, isWanted);
  store = await open();
  expect(store.opened).toMatchObject({ rebuiltIndex: true, damagedJournal: { segment: 1 } });
  expect(store.position()).toBeNull();
  expect([readTree(`${root}/current`), readTree(`${root}/versions`)]).toEqual([current, versions]);
  const named = ['a', 'b'].flatMap((name) =>
    store.listVersions(parseTypedPath(name)).map((version) => version.name),
  );
  expect(new Set(named)).toEqual(new Set(versions.keys()));
  feed.renew(Buffer.from('cccccccccccccccc', 'hex'));
  await feed.send({ a: 'three', link: symlinkState('a') });
  await expect(feed.complete()).resolves.toEqual({ deletedFiles: 0 });
  expect(readTree(`${root}/versions`)).toEqual(versions);
});

it('keeps all bytes when journal and database are lost', async () => {
  const { open, root, databasePath, feed } = await closedStore();
  const versions = readTree(`${root}/versions`);
  removeDatabase(databasePath);
  fs.rmSync(`${root}/journal`, { recursive: true });
  store = await open();
  expect(store.position()).toBeNull();
  const named = store.listVersions(parseTypedPath('a')).map(({ name }) => name);
  expect(new Set(named)).toEqual(new Set([...versions.keys()].filter((name) => name.startsWith('a'))));
  feed.renew(Buffer.from('cccccccccccccccc', 'hex'));
  await feed.send({ a: 'three' });
  await feed.complete();
  expect(readTree(`${root}/versions`)).toEqual(versions);
});

it('knows the state of an earlier moment when journal and database are lost', async () => {
  const { open, root, databasePath } = storeFixture();
  store = await open();
  const feed = new FeedFake(() => store);
  await feed.send({ kept: 'kept', changed: 'first', deleted: 'gone soon' });
  const between = Date.now();
  // Names of versions tell whole seconds.
  await until('the next second', () => Math.floor(Date.now() / 1000) > Math.floor(between / 1000));
  await feed.send({ changed: 'second', deleted: null, added: 'new' });
  const after = Date.now();
  await store.close();
  removeDatabase(databasePath);
  fs.rmSync(`${root}/journal`, { recursive: true });
  store = await open();
  const contentAt = (at: number): string[] =>
    store
      .entriesAt({ at, after: null, limit: 10 })
      .entries.map(({ path, state }) => `${path} ${state.kind === 'file' ? state.hash.toString('hex') : ''}`);
  const listing = (tree: Record<string, string>): string[] =>
    Object.entries(tree).map(([name, content]) => `${name} ${sha256(content).toString('hex')}`);
  expect(contentAt(between)).toEqual(listing({ changed: 'first', deleted: 'gone soon', kept: 'kept' }));
  expect(contentAt(after)).toEqual(listing({ added: 'new', changed: 'second', kept: 'kept' }));

  // The agent names everything again: that is no news of what is held.
  feed.renew(Buffer.from('cccccccccccccccc', 'hex'));
  await feed.send({ kept: 'kept', changed: 'second', added: 'new' });
  await feed.complete();
  expect(contentAt(between)).toEqual(listing({ changed: 'first', deleted: 'gone soon', kept: 'kept' }));
});

it('dates what damaged lines told by the names of the versions', async () => {
  const { open, root, databasePath } = storeFixture();
  store = await open();
  const feed = new FeedFake(() => store);
  await feed.send({ kept: 'kept', changed: 'first', deleted: 'gone soon' });
  const between = Date.now();
  const nextSecond = async (): Promise<void> => {
    const begun = Math.floor(Date.now() / 1000);
    // Names of versions tell whole seconds.
    await until('the next second', () => Math.floor(Date.now() / 1000) > begun);
  };
  await nextSecond();
  await feed.send({ changed: 'second, and longer', deleted: null });
  const after = Date.now();
  await nextSecond();
  const listed = (at: number): unknown => store.entriesAt({ at, after: null, limit: 10 }).entries;
  const [thenBetween, thenAfter] = [listed(between), listed(after)];
  const used = store.usage();
  await store.close();
  removeDatabase(databasePath);
  damageLine(root, (line) => line.includes('"type":"remove"'));
  store = await open();
  expect(store.opened.damagedJournal).not.toBeNull();
  expect(names(listed(between))).toEqual(names(thenBetween));
  expect(names(listed(after))).toEqual(names(thenAfter));
  expect(store.usage()).toEqual(used);
});

/** Paths and contents: what else was known of them may be lost. */
function names(entries: unknown): unknown {
  return (entries as { path: string; state: { hash?: Buffer } }[]).map(
    ({ path, state }) => `${path} ${state.hash?.toString('hex')}`,
  );
}

it('keeps everything from the database when the journal is lost', async () => {
  const { open, root } = await closedStore();
  const before = store.opened;
  fs.rmSync(`${root}/journal`, { recursive: true });
  store = await open();
  expect(store.opened).not.toEqual(before);
  expect(store.position()).toBeNull();
  expect(store.listVersions(parseTypedPath('a'))).toHaveLength(2);
  expect(store.current(parseTypedPath('link'))?.record.state.kind).toBe('symlink');
});

it.each([
  ['the last batch', '"type":"begin","batch":4'],
  ['a part of the last batch', '"type":"remove"'],
  ['all but the first batch', '"type":"begin","batch":3'],
])('keeps everything from the database when %s is cut off the journal, and says so', async (_, from) => {
  const { open, root, databasePath } = await closedStore();
  const [current, versions] = [readTree(`${root}/current`), readTree(`${root}/versions`)];
  const lines = journalLines(root);
  const at = lines.findIndex((line) => line.includes(from));
  expect(at).toBeGreaterThan(0);
  fs.writeFileSync(segment(root), `${lines.slice(0, at).join('\n')}\n`);
  for (const losing of [false, true]) {
    if (losing) removeDatabase(databasePath);
    store = await open();
    expect(store.opened).toMatchObject({ rebuiltIndex: losing });
    expect(store.opened.damagedJournal === null).toBe(losing);
    expect(store.position()?.sequence).toBe(6);
    expect(store.usage()).toMatchObject({ files: 1, versions: 3 });
    expect(store.listVersions(parseTypedPath('a'))).toHaveLength(2);
    expect([readTree(`${root}/current`), readTree(`${root}/versions`)]).toEqual([current, versions]);
    await store.close();
  }
  store = await open();
});

it.each([
  ['a file is gone', (root: string) => fs.rmSync(`${root}/current/a`), { files: 0 }],
  ['a file is older', (root: string) => fs.utimesSync(`${root}/current/a`, 1, 1), { files: 1 }],
  ['a version is gone', (root: string) => fs.rmSync(`${root}/versions/${aVersion(root)}`), { versions: 2 }],
  ['a version is cut', (root: string) => fs.truncateSync(`${root}/versions/${aVersion(root)}`), {}],
  ['there is another version', (root: string) => addVersion(root), { versions: 4 }],
])(
  'takes what is there for the state where the journal is cut and %s, and asks for everything',
  async (_, change, said) => {
    const { open, root } = await closedStore();
    const lines = journalLines(root);
    const at = lines.findIndex((line) => line.includes('"type":"begin","batch":4'));
    fs.writeFileSync(segment(root), `${lines.slice(0, at).join('\n')}\n`);
    change(root);
    store = await open();
    expect(store.opened.damagedJournal).not.toBeNull();
    expect(store.position()).toBeNull();
    expect(store.usage()).toMatchObject(said);
  },
);

function aVersion(root: string): string {
  return fs.readdirSync(`${root}/versions`)[0] ?? '';
}

function addVersion(root: string): void {
  fs.writeFileSync(`${root}/versions/b~20261101-101010`, 'an older bee');
}

it('looks at all versions again after a journal was lost, as what is found then may be due for long', async () => {
  const { open, root } = storeFixture(undefined, {}, { retention: { kind: 'points', floorDays: 7 } });
  store = await open();
  const feed = new FeedFake(() => store);
  await feed.send({ a: 'one' });
  const kept = { parts: [], longestMs: 365 * 86_400_000, newestComplete: 3, floorDays: 7 };
  expect(await store.expire(Date.now(), kept)).toEqual({ versions: 0, bytes: 0 });
  await store.close();
  fs.rmSync(`${root}/journal`, { recursive: true });
  fs.writeFileSync(`${root}/versions/b~20200101-101010`, 'older than any rule');
  store = await open();
  expect(store.usage()).toMatchObject({ versions: 1 });
  expect(await store.expire(Date.now(), kept)).toMatchObject({ versions: 1 });
  expect(fs.readdirSync(`${root}/versions`)).toEqual([]);
});

it('makes a damaged database anew', async () => {
  const { open, databasePath } = await closedStore();
  removeDatabase(databasePath);
  fs.writeFileSync(databasePath, 'this is no database, and longer than its header would be '.repeat(100));
  store = await open();
  expect(store.opened.rebuiltIndex).toBe(true);
  expect(store.usage()).toMatchObject({ files: 1, versions: 3 });
});

it('refuses the data of another agent', async () => {
  const { root } = await closedStore();
  const other = storeFixture(undefined, {}, { directory: root, agentId: 'other' });
  await expect(other.open()).rejects.toMatchObject({ code: 'HOME_INVALID' });
});
