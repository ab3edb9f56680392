import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { browsePoints } from '../../../agent/restore/offered-points.ts';
import { RestoreLink } from '../../../agent/restore/restore-link.ts';
import { pointPagesOf } from '../../../receiver/point-pages.ts';
import type { HeldPoints } from '../../../shared/protocol/held-points.ts';
import { parseTypedPath } from '../../../shared/records/relative-path.ts';
import { PointBench } from '../../support/point-bench.ts';
import { PointSigner } from '../../support/point-fixture.ts';
import { restoreFrom } from '../../support/restore-bench.ts';
import { fileState, indexA, readTree, sha256 } from '../../support/store-fixture.ts';

const stranger = new PointSigner();
let bench: PointBench;
let books: PointBench['books'];
let store: PointBench['store'];
let feed: PointBench['feed'];
let takePoint: PointBench['takePoint'];

beforeEach(async () => {
  bench = await PointBench.create();
  ({ books, store, feed } = bench);
  takePoint = bench.takePoint.bind(bench);
});

afterEach(async () => bench.close());

type Page = Omit<HeldPoints, 'requestId'>;

/** `lie` changes each page of the receiver's points. */
function receiver(lie: (page: Page, after: string | null) => Page = (page) => page) {
  return bench.receiver((truth) => ({
    page: async (after, limit) => lie(await truth.page(after, limit), after),
  }));
}

const target = (): string => path.join(bench.scratch, 'restored');
const restored = (): Record<string, string> =>
  Object.fromEntries(
    [...readTree(path.join(target(), 'media'))].map(([name, bytes]) => [name, bytes.toString()]),
  );

it('brings back what a point contains, with the last content of each path, and says which point it was', async () => {
  await feed.send({ kept: 'one', deleted: 'two', replaced: 'old' });
  await feed.send({ deleted: null, replaced: 'new' });
  await feed.complete();
  const first = await takePoint(1, 3, 3);
  const second = await takePoint(2, 3, 5);
  const result = await restoreFrom(receiver(), { to: target(), point: first, agentId: bench.signer.agent });
  const listed = (await books.held(bench.signer.agent)).find(({ id }) => id === first);
  const receivedAt = new Date(listed?.wallAt ?? 0).toISOString();
  expect(result.point).toEqual({ id: first, receivedAt, complete: true, incompleteFiles: 0 });
  expect(restored()).toEqual({ kept: 'one', deleted: 'two', replaced: 'old' });
  fs.rmSync(target(), { recursive: true });
  await restoreFrom(receiver(), { to: target(), point: second });
  expect(restored()).toEqual({ kept: 'one', deleted: 'two', replaced: 'new' });
});

it('says how many bytes a point brings back', async () => {
  await feed.send({ kept: 'one', replaced: 'old content' });
  await feed.send({ replaced: 'new' });
  await feed.complete();
  await takePoint(1, 2, 2);
  await takePoint(2, 2, 3);
  await takePoint(3, 3, 3);
  const points = await books.list(bench.signer.agent);
  expect(points.map(({ proof }) => proof.parts[0]?.proof.bytes)).toEqual([14, 6, 6]);
  const { points: told } = await pointPagesOf(
    { points: books, copies: bench.copies },
    bench.signer.agent,
  ).page(null, 9);
  expect(told.map(({ parts }) => parts[0]?.bytes)).toEqual([14, 6, 6]);
});

it('names the files that an incomplete point lacks, and brings back the others', async () => {
  await feed.send({ kept: 'one' });
  await feed.complete();
  store.stage(sha256('late'), Buffer.from('late'));
  await store.commit({
    indexId: indexA,
    records: [{ path: parseTypedPath('lost'), sequence: 9, replaces: 5, state: fileState('late') }],
    missing: [],
    isHead: true,
    through: 9,
    token: sha256('9'),
  });
  const id = await takePoint(1, 5, 6);
  const from = receiver();
  const result = await restoreFrom(from, { to: target(), point: id });
  expect(result.point).toMatchObject({ id, complete: false, incompleteFiles: 1 });
  expect(result.folders).toMatchObject([
    { id: 'media', files: 1, failed: [{ path: 'lost', code: 'CONTENT_GONE' }] },
  ]);
  expect(restored()).toEqual({ kept: 'one' });
  expect(from.notes.join()).toContain('incomplete (1 file)');
});

it('does not say of a point that all of it is back where that is not proved', async () => {
  await feed.send({ kept: 'one' });
  await feed.complete();
  const id = await takePoint(1, 1, 7);
  const result = await restoreFrom(receiver(), { to: target(), point: id });
  expect(result.point).toMatchObject({ id, complete: false, incompleteFiles: null });
  expect(result.folders).toMatchObject([
    { id: 'media', files: 1, failed: [{ path: '', code: 'RESTORE_INCOMPLETE' }] },
  ]);
  expect(result.folders[0]?.failed[0]?.message).toContain('--folder media --at TIME');
  expect(restored()).toEqual({ kept: 'one' });
});

it('brings back whole what was a file and became a directory, and the reverse, while the point was made', async () => {
  await feed.send({ avatar: 'a file', 'header/small': 'below', kept: 'one' });
  await feed.complete();
  await feed.send({ avatar: null, 'avatar/large': 'now below' });
  await feed.send({ 'header/small': null, header: 'now a file' });
  const id = await takePoint(1, 3, 7);
  const result = await restoreFrom(receiver(), { to: target(), point: id });
  expect(result.folders).toMatchObject([{ id: 'media', files: 3, failed: [] }]);
  expect(restored()).toEqual({ 'avatar/large': 'now below', header: 'now a file', kept: 'one' });
});

it('reads any number of points, page by page', async () => {
  await feed.send({ kept: 'one' });
  await feed.complete();
  const ids: string[] = [];
  for (let number = 1; number <= 24; number += 1) ids.push(await takePoint(number, 1, 1));
  let pages = 0;
  const small = receiver((page, after) => {
    pages += 1;
    const points = page.points.slice(0, 5);
    const all = ids.filter((id) => after === null || id > after);
    return { ...page, points, next: all.length > 5 ? (all[4] ?? null) : null };
  });
  const result = await restoreFrom(small, { to: target(), point: ids.at(-1) ?? '' });
  expect([result.point?.id, pages]).toEqual([ids.at(-1), 5]);
});

it('puts points in the order in which the receiver got them, of the same moment in that in which they were made', async () => {
  await feed.send({ kept: 'one' });
  await feed.complete();
  const made: string[] = [];
  for (let number = 1; number <= 4; number += 1) made.push(await takePoint(number, 1, 1));
  // the third came last, the others at the same moment
  const receivedAt = [1000, 1000, 2000, 1000];
  const link = new RestoreLink(
    receiver((page) => ({
      ...page,
      points: page.points.map((point, at) => ({ ...point, receivedAt: receivedAt[at] ?? 0 })),
    })),
    { programVersion: 'test', patienceMs: 60_000, answerTimeoutMs: 60_000 },
  );
  const { points } = await browsePoints(link, null);
  link.close();
  expect(points.map(({ id }) => id)).toEqual([0, 1, 3, 2].map((at) => made[at]));
});

it.each<[string, (page: Page) => Page, string]>([
  [
    'another key',
    (page) => ({ ...page, agentKey: stranger.publicKey.export({ type: 'spki', format: 'der' }) }),
    'RECORD_FORGED',
  ],
  ['no key', (page) => ({ ...page, agentKey: null }), 'RECORD_FORGED'],
  ['a key that is none', (page) => ({ ...page, agentKey: Buffer.from('no key') }), 'RECORD_FORGED'],
  [
    'a point that somebody else signed',
    (page) => {
      const { record, signature } = stranger.point(1);
      return { ...page, points: page.points.map((point) => ({ ...point, record, signature })) };
    },
    'RECORD_FORGED',
  ],
  [
    'the points of another agent with its key',
    (page) => {
      const { record, signature } = stranger.point(1);
      const agentKey = stranger.publicKey.export({ type: 'spki', format: 'der' });
      return { ...page, agentKey, points: page.points.map((point) => ({ ...point, record, signature })) };
    },
    'RECORD_FORGED',
  ],
  [
    'a changed record',
    (page) => ({
      ...page,
      points: page.points.map((point) => ({
        ...point,
        record: Buffer.from(point.record.toString().replace('hourly', 'asked')),
      })),
    }),
    'RECORD_FORGED',
  ],
  ['a point twice', (page) => ({ ...page, points: [...page.points, ...page.points] }), 'PROTOCOL_VIOLATION'],
  [
    'a listing that goes on with nothing',
    (page) => ({ ...page, points: [], next: '20261121-140000-0a1b2c3d' }),
    'PROTOCOL_VIOLATION',
  ],
  [
    'nothing said of a folder',
    (page) => ({ ...page, points: page.points.map((point) => ({ ...point, parts: [] })) }),
    'PROTOCOL_VIOLATION',
  ],
])('believes no receiver that gives %s', async (_, lie, code) => {
  await feed.send({ kept: 'one' });
  await feed.complete();
  const id = await takePoint(1, 1, 1);
  await expect(
    restoreFrom(receiver(lie), { to: target(), point: id, agentId: bench.signer.agent }),
  ).rejects.toMatchObject({ code });
  expect(fs.existsSync(target())).toBe(false);
});
