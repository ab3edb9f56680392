import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import Database from 'better-sqlite3';
import { afterEach, expect, it } from 'vitest';
import type { KeptHistory } from '../../receiver/points/folder-evidence.ts';
import { intervalQueries } from '../../receiver/store/interval-index.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { momentLimits, momentOf } from '../../receiver/store/moment.ts';
import type { PathState } from '../../shared/records/file-record.ts';
import { parseTypedPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { nothingKept } from '../support/kept-history.ts';
import { fileState, indexA, indexB, sha256, storeFixture } from '../support/store-fixture.ts';
import { removeDatabase } from '../support/store-harness.ts';

const dayMs = 86_400_000;

let store: MirrorStore;

afterEach(async () => {
  await store.close();
});

type Change = [path: string, content: string | PathState | null, replaces?: number | null];

/** Sends records from that sequence on; `missing`: the last one was gone when it was asked for. */
async function send(
  sequence: number,
  changes: Change[],
  { isHead = true, missing = false, indexId = indexA } = {},
): Promise<void> {
  const all = changes.map(([path, content, replaces = null], at) => {
    const isContent = typeof content === 'string';
    if (isContent) store.stage(sha256(content), Buffer.from(content));
    const state: PathState =
      content === null ? { kind: 'deleted' } : isContent ? fileState(content) : content;
    return { path: parseTypedPath(path), sequence: sequence + at, replaces, state };
  });
  const present = missing ? all.slice(0, -1) : all;
  const through = sequence + changes.length - 1;
  const gone = missing ? all.slice(-1) : [];
  const token = sha256(`${through}`);
  await store.commit({ indexId, records: present, missing: gone, through, token, isHead });
}

/** So many bytes come from there on that the journal is replaced by a snapshot. */
async function compact(sequence: number): Promise<void> {
  const long = 'long/'.repeat(600) + 'name';
  for (let at = sequence; at < sequence + 10; at += 1) await send(at, [[long, `${at}`]], { missing: true });
}

async function complete(): Promise<void> {
  const position = store.position();
  if (position !== null) await store.completeIndex(position);
}

function held(from: number, to: number, indexId = indexA): Record<string, string> {
  const { entries } = store.contentBetween({ indexId, from, to }, null, 100);
  const texts = ['one', 'two', 'three', 'four'];
  return Object.fromEntries(
    entries.map(({ path, state }) => [
      path,
      texts.find((text) => state.kind === 'file' && sha256(text).equals(state.hash)) ?? state.kind,
    ]),
  );
}

const lacking = (from: number, to: number, indexId = indexA): string[] =>
  store.lackingBetween({ indexId, from, to }, null, 100);
const isProved = (from: number, to: number, indexId = indexA): boolean => {
  const { reached, intact, lacking: paths } = store.evidence({ indexId, from, to });
  return reached && intact && paths.count === 0;
};

it('holds of an interval what was alive at its begin or came in it, and of one path the last content', async () => {
  store = await storeFixture().open();
  await send(1, [
    ['kept', 'one'],
    ['replaced', 'one'],
    ['deleted', 'two'],
  ]);
  await send(4, [['replaced', 'three', 2]]);
  await send(5, [['deleted', null, 3]]);
  await send(6, [['later', 'four']]);
  await complete();
  expect(held(3, 3)).toEqual({ kept: 'one', replaced: 'one', deleted: 'two' });
  expect(held(4, 5)).toEqual({ kept: 'one', replaced: 'three', deleted: 'two' });
  expect(held(5, 5)).toEqual({ kept: 'one', replaced: 'three' });
  expect(held(3, 6)).toEqual({ kept: 'one', replaced: 'three', deleted: 'two', later: 'four' });
  expect(held(3, 3, indexB)).toEqual({});
  expect([isProved(3, 6), isProved(6, 7), isProved(3, 3, indexB)]).toEqual([true, false, false]);
  const page = store.contentBetween({ indexId: indexA, from: 3, to: 6 }, null, 3);
  expect([page.entries.length, page.next]).toEqual([3, 'later']);
  expect(store.contentBetween({ indexId: indexA, from: 3, to: 6 }, page.next, 3).entries).toHaveLength(1);
  await send(7, [['replaced', null, 4]]);
  await send(8, [['kept', 'five', 1]]);
  expect(held(3, 6)).toEqual({ kept: 'one', replaced: 'three', deleted: 'two', later: 'four' });
});

it('holds of a file and what is below its path the one that came later', async () => {
  store = await storeFixture().open();
  await send(1, [
    ['a', 'one'],
    ['b/x', 'two'],
    ['b/y/z', 'two'],
    ['c', 'one'],
    ['c.d', 'four'],
  ]);
  await complete();
  await send(6, [
    ['a', null, 1],
    ['a/x', 'three'],
    ['b/x', null, 2],
    ['b/y/z', null, 3],
    ['b', 'four'],
    ['c', null, 4],
    ['c/x', 'one'],
  ]);
  expect(held(5, 5)).toEqual({ a: 'one', 'b/x': 'two', 'b/y/z': 'two', c: 'one', 'c.d': 'four' });
  expect(held(5, 6)).toEqual({ a: 'one', 'b/x': 'two', 'b/y/z': 'two', c: 'one', 'c.d': 'four' });
  const after = { 'a/x': 'three', b: 'four', 'c/x': 'one', 'c.d': 'four' };
  expect(held(5, 12)).toEqual(after);
  await send(13, [
    ['c/x', null, 12],
    ['c', 'two', 11],
    ['b', null, 10],
    ['b/y', 'one'],
  ]);
  expect(held(5, 12)).toEqual(after);
  expect(held(12, 16)).toEqual({ 'a/x': 'three', 'b/y': 'one', c: 'two', 'c.d': 'four' });
  // page by page, also where a page holds nothing
  const paths: string[] = [];
  for (let after: RelativePath | null = null; ;) {
    const page = store.contentBetween({ indexId: indexA, from: 5, to: 12 }, after, 1);
    paths.push(...page.entries.map(({ path }) => path));
    after = page.next;
    if (after === null) break;
    expect(page.entries).toHaveLength(1);
  }
  expect(paths).toEqual(['a/x', 'b', 'c.d', 'c/x']);
});

it('holds a directory that is gone with what was in it', async () => {
  store = await storeFixture().open();
  await send(1, [['e', { kind: 'directory', mode: 0o700, uid: 1, gid: 1 }]]);
  await send(2, [['e/x', 'one']]);
  await complete();
  await send(3, [
    ['e/x', null, 2],
    ['e', null, 1],
  ]);
  expect(held(2, 4)).toEqual({ e: 'directory', 'e/x': 'one' });
});

it('keeps the begin of a content through changes of metadata and a new index', async () => {
  store = await storeFixture().open();
  await send(1, [['a', 'one']]);
  await complete();
  const state = { ...fileState('one'), mode: 0o600 };
  await send(2, [['a', state, 1]]);
  await send(1, [['a', state]], { indexId: indexB });
  await complete();
  expect(store.contentBetween({ indexId: indexA, from: 1, to: 1 }, null, 9).entries).toMatchObject([
    { path: 'a', begun: momentOf(1, 1), ended: null },
  ]);
});

it('names a path of which a content between two others never came, where that one would count', async () => {
  store = await storeFixture().open();
  await send(1, [['a', 'one']]);
  await complete();
  await send(9, [['a', 'two', 5]]);
  expect([lacking(1, 1), lacking(1, 8), lacking(3, 4), lacking(2, 9), lacking(9, 9)]).toEqual([
    [],
    ['a'],
    ['a'],
    [],
    [],
  ]);
  expect(store.evidence({ indexId: indexA, from: 3, to: 4 })).toEqual({
    reached: true,
    intact: true,
    lacking: { count: 1, paths: ['a'] },
  });
});

it('names no path that is again as it was, from where that is known on', async () => {
  store = await storeFixture().open();
  await send(1, [['a', 'one']]);
  await complete();
  // gone and there again, or touched twice, while nobody listened
  await send(9, [['a', 'one', 8]]);
  expect([lacking(1, 1), lacking(2, 8), lacking(2, 9), lacking(9, 9)]).toEqual([[], ['a'], [], []]);
  expect([isProved(2, 8), isProved(2, 9), held(2, 9)]).toEqual([false, true, { a: 'one' }]);
  await send(10, [['a', 'one', 9]]);
  await send(12, [['a', null, 10]]);
  expect([lacking(2, 8), lacking(2, 9), lacking(9, 12), held(2, 12)]).toEqual([['a'], [], [], { a: 'one' }]);
});

it('names a path whose content was gone when it was asked for, until the next record of it', async () => {
  store = await storeFixture().open();
  await send(1, [
    ['a', 'one'],
    ['b', 'two'],
  ]);
  await complete();
  await send(3, [['a', 'never', 1]], { missing: true });
  await send(4, [['c', 'three']]);
  expect([lacking(2, 2), lacking(3, 3), lacking(4, 4)]).toEqual([[], ['a'], ['a']]);
  await send(5, [['a', null, 3]]);
  expect([lacking(3, 4), lacking(4, 5), lacking(5, 5)]).toEqual([['a'], ['a'], []]);
});

it('proves nothing up to where it knows that later records may still tell of earlier contents', async () => {
  store = await storeFixture().open();
  await send(1, [['a', 'one']], { isHead: false });
  await complete();
  expect(isProved(1, 1)).toBe(false);
  await send(3, [['b', 'two', 2]], { isHead: true });
  expect([lacking(1, 1), lacking(1, 2), isProved(3, 3)]).toEqual([['b'], ['b'], true]);
});

it('proves the part of a restore point by its interval, and names the first of the files that are not all here', async () => {
  store = await storeFixture().open();
  const names = Array.from({ length: 25 }, (_, at) => `file ${10 + at}`);
  const part = (from: number, to: number, index = indexA) =>
    store.provePart({ id: 'media', kind: 'mirror', index: index.toString('hex'), from, to });
  const unknown = { state: 'unknown', bytes: null };
  await send(
    1,
    names.map((name) => [name, 'one']),
  );
  expect(part(1, 25)).toEqual(unknown);
  await complete();
  expect(part(1, 25)).toEqual({ state: 'complete', bytes: null });
  expect([part(25, 26), part(1, 25, indexB)]).toEqual([unknown, unknown]);
  await send(
    100,
    names.map((name) => [name, 'two', 50]),
  );
  expect(part(60, 99)).toEqual({ state: 'incomplete', files: 25, paths: names.slice(0, 20), bytes: null });
  expect([part(25, 25), part(124, 124)]).toEqual([
    { state: 'complete', bytes: null },
    { state: 'complete', bytes: null },
  ]);
});

it('counts the bytes that a part brings back, once, of those that were reached', async () => {
  store = await storeFixture().open();
  await send(1, [
    ['a', 'one'],
    ['b', 'three'],
  ]);
  await complete();
  await send(3, [
    ['a', 'four', 1],
    ['b', null, 2],
  ]);
  const part = (from: number, to: number) =>
    ({ id: 'media', kind: 'mirror', index: indexA.toString('hex'), from, to }) as const;
  const bytes = (): unknown[] =>
    [part(1, 1), part(2, 2), part(2, 3), part(3, 4), part(4, 4), part(4, 9)].map(
      (one) => store.provePart(one).bytes,
    );
  expect(bytes()).toEqual([null, null, null, null, null, null]);
  await store.countBytes([part(1, 1), part(2, 2), part(2, 3), part(3, 4), part(4, 4), part(4, 9)]);
  expect(bytes()).toEqual([3, 8, 9, 9, 4, null]);
  await send(5, [
    ['c', 'one'],
    ['d', 'four', 8],
  ]);
  await send(9, [['d', null, 6]]);
  await store.countBytes([part(4, 9)]);
  expect(bytes()).toEqual([3, 8, 9, 9, 4, 11]);
});

it('keeps what it proved of an index that was replaced, and lets deletions begin with the new one', async () => {
  store = await storeFixture().open();
  await send(1, [
    ['a', 'one'],
    ['b', 'two'],
  ]);
  await complete();
  await send(1, [['a', 'three']], { indexId: indexB });
  expect([isProved(2, 2), isProved(1, 1, indexB)]).toEqual([true, false]);
  await complete();
  expect([held(2, 2), held(1, 1, indexB)]).toEqual([{ a: 'one', b: 'two' }, { a: 'three' }]);
  expect([isProved(2, 2), isProved(1, 1, indexB)]).toEqual([true, true]);
});

it('lets what was missed under an older index end before the one that names the path anew', async () => {
  store = await storeFixture().open();
  await send(1, [['a', 'one']]);
  await send(2, [['a', 'never', 1]], { missing: true });
  await complete();
  await send(1, [['a', 'one']], { indexId: indexB });
  await complete();
  expect([lacking(2, 2), lacking(0, 1, indexB), held(0, 1, indexB)]).toEqual([['a'], [], { a: 'one' }]);
});

it('does not take what an older index had for what was there when the next one began', async () => {
  store = await storeFixture().open();
  await send(1, [
    ['a', 'one'],
    ['b', 'one'],
    ['c', 'one'],
  ]);
  await complete();
  await send(4, [['c', 'never', 3]], { missing: true });
  await send(2, [['a', null, 1]], { indexId: indexB });
  await send(3, [['b', 'never']], { indexId: indexB, missing: true });
  await send(4, [['c', 'nor this']], { indexId: indexB, missing: true });
  await complete();
  expect([lacking(0, 0, indexB), lacking(2, 2, indexB), lacking(4, 4, indexB)]).toEqual([
    ['a', 'b', 'c'],
    ['b', 'c'],
    ['b', 'c'],
  ]);
  expect([lacking(3, 3), lacking(4, 4)]).toEqual([[], ['c']]);
});

it('proves nothing of before after journal lines were lost, and all of later once everything was named again', async () => {
  const { open, root, databasePath } = storeFixture();
  store = await open();
  await send(1, [['a', 'one']]);
  await send(2, [['a', 'three', 1]]);
  await complete();
  expect(isProved(1, 2)).toBe(true);
  await store.close();
  removeDatabase(databasePath);
  const segment = `${root}/journal/000001.journal`;
  const lines = fs.readFileSync(segment, 'utf8').split('\n');
  const at = lines.findIndex((line) => line.includes('"replaced":{'));
  lines[at] = (lines[at] ?? '').replace('"', "'");
  fs.writeFileSync(segment, lines.join('\n'));
  for (const losing of [false, true]) {
    store = await open();
    expect(isProved(1, 2)).toBe(false);
    await store.close();
    if (losing) removeDatabase(databasePath);
  }
  store = await open();
  await send(2, [['a', fileState('three'), 1]]);
  expect([isProved(1, 2), isProved(2, 2)]).toEqual([false, false]);
  await complete();
  await send(3, [['b', 'two']]);
  expect([isProved(1, 2), isProved(1, 3), isProved(2, 3), isProved(3, 3)]).toEqual([
    false,
    false,
    true,
    true,
  ]);
  expect(held(2, 3)).toEqual({ a: 'three', b: 'two' });
  const part = { id: 'media', kind: 'mirror', index: indexA.toString('hex'), to: 3 } as const;
  expect([1, 2].map((from) => store.provePart({ ...part, from }).state)).toEqual(['unknown', 'complete']);
});

it('keeps what nobody can place among the points, after journal lines were lost, as long as any point is kept', async () => {
  const day = 86_400_000;
  let now = 1_800_000_000_000;
  const { open, root, databasePath } = storeFixture(
    undefined,
    { now: () => (now += 1) },
    { retention: { kind: 'points', floorDays: 1 } },
  );
  store = await open();
  await send(1, [['a', 'one']]);
  await send(2, [['a', 'two', 1]]);
  await send(3, [['b', 'four']]);
  await complete();
  await store.close();
  removeDatabase(databasePath);
  const segment = `${root}/journal/000001.journal`;
  fs.writeFileSync(segment, fs.readFileSync(segment, 'utf8').replace('"path":"b"', '"path":"B"'));
  store = await open();
  await send(3, [['b', fileState('four')]]);
  await complete();
  await send(4, [['a', 'three', 2]]);
  const expire = (days: number): ReturnType<MirrorStore['expire']> =>
    store.expire(now + days * day, { ...nothingKept, longestMs: 100 * day });
  expect([(await expire(2)).versions, (await expire(99)).versions]).toEqual([1, 0]);
  expect(store.listVersions(parseTypedPath('a')).map(({ sequence }) => sequence)).toEqual([1]);
  expect((await expire(101)).versions).toBe(1);
});

it('gives no id of a version twice after the first line of the last batch was lost', async () => {
  const { open, root, databasePath } = storeFixture();
  store = await open();
  await send(1, [['b', 'one']]);
  await send(2, [['b', 'two', 1]]);
  await send(3, [['a', 'four']]);
  await complete();
  await send(4, [['c', 'four']]);
  await store.close();
  removeDatabase(databasePath);
  const segment = `${root}/journal/000001.journal`;
  const text = fs.readFileSync(segment, 'utf8');
  const at = text.lastIndexOf('"type":"begin"');
  fs.writeFileSync(segment, `${text.slice(0, at)}'${text.slice(at + 1)}`);
  store = await open();
  await send(5, [['b', 'three', 2]]);
  const versions = store.listVersions(parseTypedPath('b'));
  expect(versions.map(({ state }) => state.kind === 'file' && state.size)).toEqual([3, 3]);
  expect(new Set(fs.readdirSync(`${root}/versions`))).toEqual(new Set(versions.map(({ name }) => name)));
});

it('takes what is named again for later than the damaged file that a salvage found in its place', async () => {
  const { open, root, databasePath } = storeFixture();
  store = await open();
  await send(1, [
    ['a', 'three'],
    ['b', 'one'],
  ]);
  await complete();
  await store.close();
  removeDatabase(databasePath);
  const segment = `${root}/journal/000001.journal`;
  fs.writeFileSync(segment, `#${fs.readFileSync(segment, 'utf8').slice(1)}`);
  fs.writeFileSync(`${root}/current/a`, 'thrEe');
  store = await open();
  await send(1, [
    ['a', 'three'],
    ['b', fileState('one')],
  ]);
  await complete();
  await send(3, [['a', null, 1]]);
  expect([isProved(2, 2), held(2, 2), held(2, 3), held(3, 3)]).toEqual([
    true,
    { a: 'three', b: 'one' },
    { a: 'three', b: 'one' },
    { b: 'one' },
  ]);
  const lives = store.listVersions(parseTypedPath('a')).map(({ begun, ended }) => (ended ?? 0n) >= begun);
  expect(lives).not.toContain(false);
});

it('proves nothing when journal and database are lost and the same index comes again', async () => {
  const { open, root, databasePath } = storeFixture();
  store = await open();
  await send(1, [['a', 'one']]);
  await send(2, [['a', 'two', 1]]);
  await complete();
  await store.close();
  removeDatabase(databasePath);
  fs.rmSync(`${root}/journal`, { recursive: true });
  store = await open();
  await send(2, [['a', fileState('two')]]);
  await complete();
  expect([isProved(1, 1), isProved(1, 2), isProved(2, 2)]).toEqual([false, false, true]);
});

it('lets versions go by when they ended, and gaps by when they were over, and knows so after a rebuild', async () => {
  const { open, root, databasePath } = storeFixture(
    undefined,
    {},
    { retention: { kind: 'points', floorDays: 0 } },
  );
  store = await open();
  await send(1, [['a', 'one']]);
  await complete();
  await send(2, [['a', 'two', 1]]);
  await send(3, [['a', 'three', 2]]);
  await send(9, [['a', 'four', 5]]);
  const moments = { from: momentOf(1, 2), to: store.momentAt(indexA, 9) ?? 0n };
  const ended = store.versionsEndedIn(moments, null, 1);
  const rest = store.versionsEndedIn(moments, ended[0] ?? null, 9);
  expect([...ended, ...rest].map((version) => version.ended)).toEqual([momentOf(1, 3), momentOf(1, 9)]);
  const id = ended[0]?.id ?? 0;
  expect(await store.expiry.expireVersions([id, id, 77])).toEqual({ versions: 1, bytes: 3 });
  expect(await store.expiry.expireVersions([id])).toEqual({ versions: 0, bytes: 0 });
  expect(fs.readdirSync(`${root}/versions`)).toHaveLength(2);
  expect([await store.expiry.expireGaps(momentOf(1, 8)), lacking(4, 8)]).toEqual([0, ['a']]);
  expect(await store.expiry.expireGaps(momentOf(1, 9))).toBe(1);
  await store.close();
  removeDatabase(databasePath);
  store = await open();
  expect([lacking(4, 8), store.gaps(null, 9), store.versionsEndedIn(moments, null, 9).length]).toEqual([
    [],
    [],
    1,
  ]);
});

it.each([
  { kind: 'simple', keep: 0, cleanoutDays: 1, floorDays: 3 },
  { kind: 'trashcan', cleanoutDays: 1, floorDays: 3 },
  { kind: 'staggered', maxAgeDays: 1, floorDays: 3 },
  { kind: 'points', floorDays: 3 },
] as const)('lets no version go that is younger than the floor: %o', async (retention) => {
  let now = 1_800_000_000_000;
  store = await storeFixture(undefined, { now: () => now }, { retention }).open();
  await send(1, [['a', 'one']]);
  await complete();
  await send(2, [['a', 'two', 1]]);
  const changed = now;
  now = changed + 3 * dayMs - 1000;
  expect((await store.expire(now, nothingKept)).versions).toBe(0);
  now = changed + 3 * dayMs + 1000;
  expect((await store.expire(now, nothingKept)).versions).toBe(1);
});

it('tells of a part that begins before something was let go, also after a rebuild from a snapshot', async () => {
  const { open, databasePath } = storeFixture(undefined, {}, { journalSegmentBytesMax: 2000 });
  const forgot = (from: number, indexId = indexA): boolean =>
    store.hasForgotten({ id: 'media', kind: 'mirror', index: indexId.toString('hex'), from, to: 20 });
  const reopen = async (): Promise<void> => {
    await store.close();
    removeDatabase(databasePath);
    store = await open();
  };
  store = await open();
  await send(1, [['a', 'one']]);
  await send(2, [['b', 'never']], { missing: true });
  await complete();
  await send(3, [['a', 'three', 1]]);
  await send(4, [
    ['a', 'two', 3],
    ['b', 'one', 2],
  ]);
  expect([forgot(0), forgot(1)]).toEqual([false, false]);
  const [version, older] = store.listVersions(parseTypedPath('a'));
  const removing = store.expiry.expireVersions([version?.id ?? 0]);
  // a point may come before the version is gone
  expect([forgot(3), forgot(4)]).toEqual([true, false]);
  await removing;
  await reopen();
  expect([forgot(3), forgot(4), forgot(0, indexB)]).toEqual([true, false, false]);
  const forgetting = store.expiry.expireGaps(momentOf(1, 5));
  expect([forgot(4), forgot(5)]).toEqual([true, false]);
  await forgetting;
  await store.expiry.expireVersions([older?.id ?? 0]);
  await compact(6);
  await reopen();
  expect([forgot(4), forgot(5)]).toEqual([true, false]);
});

it('keeps a journal that the program in the documentation reads, snapshots too', async () => {
  const { open, root } = storeFixture(undefined, {}, { journalSegmentBytesMax: 1500 });
  store = await open();
  await send(1, [
    ['kept', 'one'],
    ['gone', 'two'],
  ]);
  await send(3, [['busy', 'two']]);
  await send(4, [['busy', 'three', 3]]);
  const [version] = store.listVersions(parseTypedPath('busy'));
  await store.expiry.expireVersions([version?.id ?? 0]);
  await compact(5);
  await send(30, [['gone', null, 2]]);
  expect(fs.existsSync(`${root}/journal/000001.journal`)).toBe(false);
  const document = fs.readFileSync('docs/storage-format.md', 'utf8');
  const script = /^```python\n([^]*?)^```$/m.exec(document)?.[1] ?? '';
  const { stdout, stderr } = spawnSync('python3', ['-c', script, root], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(stdout.trim().split('\n')).toEqual([
    `b'busy' file ${sha256('three').toString('hex')}`,
    `b'kept' file ${sha256('one').toString('hex')}`,
  ]);
});

it('keeps what a point needs that comes while versions expire', async () => {
  const retention = { kind: 'points', floorDays: 0 } as const;
  for (const kind of [retention, { kind: 'trashcan', cleanoutDays: 1, floorDays: 0 } as const]) {
    store = await storeFixture(undefined, {}, { retention: kind }).open();
    const all = (content: string): Change[] => [
      ['a', content, null],
      ['b', content, null],
      ['c', content, null],
    ];
    await send(1, all('one'));
    await complete();
    await send(4, all('two'));
    const index = indexA.toString('hex');
    const parts = [{ id: 'media', kind: 'mirror', index, from: 3, to: 3 } as const];
    let asked = 0;
    const kept: KeptHistory = {
      ...nothingKept,
      get parts() {
        asked += 1;
        return asked > 2 ? parts : nothingKept.parts;
      },
    };
    expect(await store.expire(Date.now() + 2 * 86_400_000, kept)).toMatchObject({ versions: 1 });
    expect(held(3, 3)).toEqual({ b: 'one', c: 'one' });
    expect(await store.expire(Date.now() + 2 * 86_400_000, nothingKept)).toMatchObject({ versions: 2 });
    if (kind === retention) await store.close();
  }
});

it('refuses sequences and numbers of indexes that do not fit a moment', async () => {
  store = await storeFixture().open();
  const violation = { code: 'PROTOCOL_VIOLATION' };
  await expect(send(momentLimits.sequenceMax + 1, [['a', 'one']])).rejects.toMatchObject(violation);
  await send(momentLimits.sequenceMax, [['a', 'one']]);
  expect(() => momentOf(momentLimits.indexNumberMax + 1, 1)).toThrowError(/no more fit/);
  expect(momentOf(momentLimits.indexNumberMax, momentLimits.sequenceMax)).toBeLessThan(2n ** 63n - 1n);
});

it('reads an interval by indexes only, whatever history is kept', async () => {
  const { open, databasePath } = storeFixture();
  store = await open();
  const database = new Database(databasePath, { readonly: true });
  const page = { from: 1, to: 2, after: -1, limit: 10, ended: 1, id: 1, replacedAt: 1 };
  const parameters = { ...page, key: 1, low: 1, high: 2 };
  try {
    for (const [name, sql] of Object.entries(intervalQueries)) {
      const plan = database
        .prepare<[Record<string, number>], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`)
        .all(parameters)
        .map(({ detail }) => detail);
      expect(plan.length, name).toBeGreaterThan(0);
      expect(plan.filter((step) => /SCAN (?!paths)/.test(step)).join(), name).toBe('');
      // a later page sorts nothing: each reads on where the one before ended
      if (name === 'nextLacking') expect(plan.join()).not.toContain('TEMP B-TREE');
    }
  } finally {
    database.close();
  }
});
