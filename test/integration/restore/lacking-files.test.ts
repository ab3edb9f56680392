import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lackingPagesOf } from '../../../agent/restore/lacking-pages.ts';
import { browsePoints, listOffered, type OfferedPoint } from '../../../agent/restore/offered-points.ts';
import { RestoreLink } from '../../../agent/restore/restore-link.ts';
import { listPoints } from '../../../receiver/point-listing.ts';
import type { RestorePoints } from '../../../receiver/serve/restore-history.ts';
import { lackingItems, type LackingPages } from '../../../shared/cli/lacking-listing.ts';
import {
  parseRelativePath,
  parseTypedPath,
  type RelativePath,
} from '../../../shared/records/relative-path.ts';
import { decodeMessage, encodeMessage } from '../../../shared/protocol/codec.ts';
import type { FileRecord } from '../../../shared/records/file-record.ts';
import { HostileReceiver } from '../../support/hostile-receiver.ts';
import { PointBench } from '../../support/point-bench.ts';
import { PointSigner } from '../../support/point-fixture.ts';
import { restoreFrom } from '../../support/restore-bench.ts';
import { scrubPass } from '../../support/scrub-store.ts';
import { fileState, indexA, sha256 } from '../../support/store-fixture.ts';

const pathsPerPage = 1024;
let bench: PointBench;
let link: RestoreLink;

beforeEach(async () => {
  bench = await PointBench.create();
});
afterEach(async () => {
  link.close();
  await bench.close();
});

const name = (at: number): string => `files/${String(at).padStart(5, '0')}`;
const names = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, at) => name(from + at));

/** A link to the receiver, which tells these lies. */
function connect(lies?: (truth: RestorePoints) => Partial<RestorePoints>): RestoreLink {
  link = new RestoreLink(bench.receiver(lies), {
    programVersion: 'test',
    patienceMs: 60_000,
    answerTimeoutMs: 60_000,
  });
  return link;
}

async function offered(id: string): Promise<OfferedPoint> {
  const point = (await browsePoints(link, null)).points.find((one) => one.id === id);
  if (point === undefined) throw new Error('the point is not told of');
  return point;
}

/** What a restorer is told that the point lacks, page by page, for people. */
async function pagesOf(id: string, onPage: (at: number) => Promise<void> = async () => {}) {
  const point = await offered(id);
  const pages: string[][] = [];
  for await (const items of lackingItems(listOffered(point), lackingPagesOf(link, point))) {
    pages.push(items.map((item) => ('path' in item ? `${item.folder}/${item.path}` : item.folder)));
    await onPage(pages.length);
  }
  return { point, pages };
}

/** The same as the receiver tells its owner. */
async function atReceiver(id: string): Promise<string[]> {
  const pages: LackingPages = async (folder, after) =>
    bench.books.lacking(bench.signer.agent, { point: id, folder, after, limit: pathsPerPage });
  const [point] = (await listPoints(bench.books, [bench.signer.agent], id)).points;
  if (point === undefined) throw new Error('the point is not listed');
  const found: string[] = [];
  for await (const items of lackingItems(point, pages))
    found.push(...items.map((item) => ('path' in item ? `${item.folder}/${item.path}` : item.folder)));
  return found;
}

/** Records of which the receiver learns that something came before them, which it never saw; the sequence of that. */
async function sendUnseen(...paths: RelativePath[]): Promise<number> {
  const unseen = bench.feed.sequence + 1;
  const through = unseen + 1 + paths.length;
  bench.store.stage(sha256('late'), Buffer.from('late'));
  await bench.store.commit({
    indexId: indexA,
    records: paths.map((one, at): FileRecord => {
      return { path: one, sequence: unseen + 2 + at, replaces: unseen, state: fileState('late') };
    }),
    missing: [],
    isHead: true,
    through,
    token: sha256(`${through}`),
  });
  return unseen;
}

/** Where the receiver keeps a file. */
const held = (file: string): string =>
  path.join(bench.scratch, 'data', bench.signer.agent, 'media/current', file);

/** Files are gone from the receiver's disk, others are there again; it looks. */
async function damage(gone: string[], again: Record<string, string> = {}): Promise<void> {
  for (const file of gone) fs.rmSync(held(file));
  for (const [file, content] of Object.entries(again)) fs.writeFileSync(held(file), content);
  await scrubPass(() => bench.store);
}

it('names every file that a point lacks, over more than three pages, of all folders, however odd their names', async () => {
  const lost = names(0, 3 * pathsPerPage + 5);
  const others = await bench.addFolder('docs');
  await bench.feed.send({ kept: 'one' }, lost);
  const odd = parseRelativePath(Buffer.from('files/a\nb\\c/\xff', 'latin1'));
  await others.send({ kept: 'one' }, ['b', 'a']);
  await bench.feed.complete();
  await others.complete();
  const to = await sendUnseen(odd);
  const id = await bench.takePoint(1, to, to, [
    { id: 'docs', kind: 'mirror', index: indexA.toString('hex'), from: 3, to: 3 },
    { id: 'database', kind: 'sealed', epoch: '00'.repeat(8), number: 4, record: 'ab'.repeat(32) },
  ]);
  connect();
  const { point, pages } = await pagesOf(id);
  const all = [...lost.map((file) => `media/${file}`), 'media/files/a\\x0ab\\\\c/\\xff', 'docs/a', 'docs/b'];
  expect(pages.flat()).toEqual(all);
  expect(pages.length).toBeGreaterThan(4);
  expect(Math.max(...pages.map((page) => page.length))).toBe(pathsPerPage);
  expect(point.parts.map(({ state, files }) => [state, files])).toEqual([
    ['incomplete', lost.length + 1],
    ['incomplete', 2],
    ['unknown', 0],
  ]);
  expect(await atReceiver(id)).toEqual(all);
});

it('goes on while a lacking file arrives and others turn out to be lacking, each named once', async () => {
  const lost = names(0, pathsPerPage + 100);
  await bench.feed.send({ before: 'zeroth', 'kept/a': 'first', 'kept/b': 'second', 'kept/c': 'third' }, lost);
  await bench.feed.complete();
  const id = await bench.takePoint(1, bench.feed.sequence, bench.feed.sequence);
  await damage(['kept/a', 'kept/b']);
  connect();
  const { point, pages } = await pagesOf(id, async (at) => {
    if (at === 1) await damage(['before', 'kept/c'], { 'kept/b': 'second' });
  });
  expect(point.parts[0]?.files).toBe(lost.length + 2);
  const named = [...lost, 'kept/a', 'kept/c'].map((file) => `media/${file}`);
  expect(pages.flat()).toEqual(named);
  expect(await atReceiver(id)).toEqual(['media/before', ...named]);
});

it('counts and names once a file that is damaged and of which another content was missed', async () => {
  await bench.feed.send({ both: 'first', damaged: 'second', whole: 'third' });
  await bench.feed.complete();
  await damage(['both', 'damaged']);
  const to = await sendUnseen(parseTypedPath('both'), parseTypedPath('alone'));
  const id = await bench.takePoint(1, 3, to);
  connect();
  const { point, pages } = await pagesOf(id);
  expect(point.parts[0]).toMatchObject({ files: 3, lacking: ['alone', 'both', 'damaged'] });
  expect(pages).toEqual([['media/alone', 'media/both', 'media/damaged']]);
});

it('has a restore name all that is lacking of what it was asked for, each file once', async () => {
  await bench.feed.send({ 'kept/a': 'first', 'kept/b': 'second' }, names(0, 40));
  await bench.feed.complete();
  const id = await bench.takePoint(1, bench.feed.sequence, bench.feed.sequence);
  await damage(['kept/a']);
  connect();
  const failing = async (...wanted: string[]): Promise<[string[], Set<string>]> => {
    const to = path.join(bench.scratch, `restored ${wanted.join()}`.replaceAll('/', ' '));
    const { folders } = await restoreFrom(bench.receiver(), { to, point: id, paths: wanted });
    const failed = folders.flatMap((folder) => folder.failed);
    return [failed.map((failure) => failure.path), new Set(failed.map(({ code }) => code))];
  };
  expect(await failing()).toEqual([[...names(0, 40), 'kept/a'], new Set(['CONTENT_GONE'])]);
  expect(await failing('files/0003*')).toEqual([names(30, 40), new Set(['CONTENT_GONE'])]);
});

async function incompletePoint(): Promise<string> {
  await bench.feed.send({ kept: 'one' }, names(0, 3));
  await bench.feed.complete();
  return bench.takePoint(1, bench.feed.sequence, bench.feed.sequence);
}

/** Rising for ever. */
function endless(count: number): RestorePoints['lacking'] {
  let at = 0;
  return async () => {
    const paths = names(at, at + count).map(parseTypedPath);
    at += count;
    return { paths, next: paths.at(-1) ?? null };
  };
}

it.each<[string, RestorePoints['lacking']]>([
  ['pages without an end', endless(100)],
  ['a page that does not go on', async () => ({ paths: [], next: parseTypedPath('a') })],
  [
    'a cursor that is not its last path',
    async () => ({ paths: [parseTypedPath('a')], next: parseTypedPath('b') }),
  ],
  ['paths that fall', async () => ({ paths: ['b', 'a'].map(parseTypedPath), next: null })],
  ['a path twice', async () => ({ paths: ['a', 'a'].map(parseTypedPath), next: null })],
  ['the same page again', async () => ({ paths: [parseTypedPath('a')], next: parseTypedPath('a') })],
])('believes no receiver that gives %s', async (_, lacking) => {
  const id = await incompletePoint();
  let asked = 0;
  connect(() => ({
    lacking: async (query) => {
      asked += 1;
      return lacking(query);
    },
  }));
  await expect(pagesOf(id)).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' });
  expect(asked).toBeLessThan(15);
});

it('gives nothing of a point that is held of another agent, or of none, and of no folder that the point does not name', async () => {
  const id = await incompletePoint();
  const other = new PointSigner();
  bench.copies.learnKey(other.agent, other.publicKey.export({ type: 'spki', format: 'der' }));
  const { id: othersId, record, signature } = other.point(7);
  expect(await bench.books.take(other.agent, record, signature)).toMatchObject({ held: true });
  const ask = async (point: string, folder: string): Promise<unknown> => {
    link.close();
    return connect().run((session) => session.browseLacking({ point, folder, after: null }));
  };
  connect();
  await expect(ask(othersId, 'media')).rejects.toMatchObject({ code: 'POINT_UNKNOWN' });
  await expect(ask('20200101-000000-00000000', 'media')).rejects.toMatchObject({ code: 'POINT_UNKNOWN' });
  await expect(ask(id, 'docs')).rejects.toMatchObject({ code: 'FOLDER_UNKNOWN' });
  await bench.addFolder('docs');
  await expect(ask(id, 'docs')).rejects.toMatchObject({ code: 'FOLDER_UNKNOWN' });
  expect(await ask(id, 'media')).toMatchObject({ paths: names(0, 3), next: null });
});

it('says that a point is gone that was forgotten while it was read', async () => {
  const id = await incompletePoint();
  connect();
  const point = await offered(id);
  await (await bench.books.of(bench.signer.agent)).forget([id]);
  await expect(lackingPagesOf(link, point)('media', null)).rejects.toMatchObject({ code: 'POINT_UNKNOWN' });
  const channel = await bench.receiver().nextChannel();
  const own = { program: 'test', programVersion: '0', deviceRole: 'restorer' as const };
  await channel.send(encodeMessage({ type: 'hello', protocolVersions: [1], ...own }));
  const asked = { requestId: 1, point: id, folder: 'media', after: null, limit: 9 };
  await channel.send(encodeMessage({ type: 'browseLacking', ...asked }));
  const heard = [await channel.receive(), await channel.receive()].map(
    (bytes) => bytes && decodeMessage(bytes),
  );
  expect(heard).toMatchObject([{ type: 'hello' }, { type: 'refuse', code: 'POINT_UNKNOWN' }]);
});

it('says what to do when the receiver is of a version that does not know the question', async () => {
  const receiver = new HostileReceiver();
  receiver.answerTo = ({ type }) => {
    if (type !== 'browseLacking') return null;
    const message = 'unknown message type 36';
    return [{ type: 'refuse', folder: null, code: 'PROTOCOL_VIOLATION', message, hint: null }];
  };
  link = new RestoreLink(
    { nextChannel: async () => receiver.nextChannel(), onState: () => {} },
    { programVersion: 'test', patienceMs: 60_000, answerTimeoutMs: 60_000 },
  );
  const asked = { point: '20261121-140000-0a1b2c3d', folder: 'media', after: null };
  await expect(link.run((session) => session.browseLacking(asked))).rejects.toMatchObject({
    code: 'PROTOCOL_VIOLATION',
    hint: expect.stringContaining('update the older one') as string,
  });
});
