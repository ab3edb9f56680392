import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { PointBook } from '../../receiver/points/point-book.ts';
import { resolvePointId } from '../../receiver/points/resolve-point-id.ts';
import { defaultPointRules } from '../../receiver/retention/point-retention.ts';
import type { Disk } from '../../shared/io/disk.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { faultyDisk } from '../support/faulty-disk.ts';
import { PointSigner, type MadePoint } from '../support/point-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const hourMs = 3_600_000;
const signer = new PointSigner();
let directory: string;
let clock: { retention: number; wall: number; steady: number };
let book: PointBook;
let isForgotten: boolean;

beforeEach(async () => {
  directory = path.join(temporaryDirectory(), signer.agent, 'points');
  isForgotten = false;
  clock = { retention: 1_000_000, wall: 2_000_000, steady: 0 };
  book = await open();
});
afterEach(async () => book.close());

function open(disk: Disk = nodeDisk): Promise<PointBook> {
  const deps = {
    disk,
    agentKey: () => signer.publicKey,
    retentionNow: () => clock.retention,
    now: () => clock.wall,
    steadyNow: () => clock.steady,
    isForgotten: () => isForgotten,
    logger: silentLogger,
  };
  return PointBook.open(deps, { directory, agent: signer.agent });
}

async function reopen(): Promise<void> {
  await book.close();
  book = await open();
}

const take = async ({ record, signature }: MadePoint) => book.take(record, signature);
const shown = () => book.list().map(({ id, pin }) => [id, pin?.label ?? null]);

it('keeps a point as plain files, across restarts, with when it was received', async () => {
  const point = signer.point(1);
  expect(await take(point)).toEqual({ held: true, code: null });
  expect(fs.readFileSync(path.join(directory, `${point.id}.json`)).equals(point.record)).toBe(true);
  expect(fs.readFileSync(path.join(directory, `${point.id}.json.sig`)).equals(point.signature)).toBe(true);
  clock.retention += hourMs;
  await reopen();
  expect(book.list()).toMatchObject([{ id: point.id, receivedAt: 1_000_000, wallAt: 2_000_000, pin: null }]);
});

it('takes no more points in all because it is restarted', async () => {
  let held = 0;
  for (let number = 1; number <= 60; number += 1) {
    if (number % 10 === 0) await reopen();
    if ((await take(signer.point(number))).held) held += 1;
  }
  expect(held).toBe(24);
});

it('answers a point that is announced again as before, whatever the rate, and keeps it once', async () => {
  const point = signer.point(1);
  for (let time = 0; time < 40; time += 1) expect(await take(point)).toEqual({ held: true, code: null });
  expect(shown()).toEqual([[point.id, null]]);
});

it('refuses what the agent did not sign, what speaks of another agent, and what is no point', async () => {
  const point = signer.point(1);
  const other = new PointSigner();
  const forged = { held: false, code: 'RECORD_FORGED' };
  expect(await take({ ...point, signature: signer.point(2).signature })).toEqual(forged);
  expect(await take(other.point(1))).toEqual(forged);
  expect(await take(signer.point(1, { agent: other.agent }))).toEqual(forged);
  expect(await take({ ...point, record: Buffer.from('{}') })).toEqual(forged);
  expect(book.refused).toBe(4);
  expect(shown()).toEqual([]);
  await reopen();
  expect(book.refused).toBeGreaterThan(0);
});

it('refuses a point that goes back behind the one which it follows', async () => {
  const first = signer.point(5);
  await take(first);
  const back = signer.point(5, { previous: first.hash.toString('hex'), cause: 'dump' });
  expect(await take(back)).toEqual({ held: false, code: 'RECORD_INVALID' });
  expect((await take(signer.point(6, { previous: first.hash.toString('hex') }))).held).toBe(true);
});

it('refuses a point that needs what was let go, and has one that is about to be held kept', async () => {
  isForgotten = true;
  expect(await take(signer.point(1))).toEqual({ held: false, code: 'POINT_TOO_LATE' });
  expect([shown(), book.refused, book.needed()]).toEqual([[], 1, []]);
  isForgotten = false;
  await book.close();
  const needed: number[][] = [];
  const note = (): void => void needed.push(book.needed().map(({ number }) => number));
  const syncData: Disk['syncData'] = async (fd) => {
    note();
    await nodeDisk.syncData(fd);
  };
  book = await open(Object.assign(Object.create(nodeDisk) as Disk, { syncData }));
  await take(signer.point(2));
  await take(signer.point(3));
  note();
  expect([needed[0], needed.at(-1)]).toEqual([[2], [2, 3]]);
  expect(book.needed()).toBe(book.needed());
  clock.retention += 800 * 24 * hourMs;
  await book.expire({ ...defaultPointRules, newestComplete: 0 }, () => 0);
  expect(book.needed()).toEqual([]);
});

it('takes no more than 24 points at once and 6 an hour, and goes on taking later', async () => {
  const answers = [];
  for (let number = 1; number <= 40; number += 1) answers.push(await take(signer.point(number)));
  expect(answers.filter(({ held }) => held)).toHaveLength(24);
  expect(answers.at(-1)).toEqual({ held: false, code: 'POINTS_LIMITED' });
  clock.steady += hourMs;
  for (let number = 41; number <= 60; number += 1) await take(signer.point(number));
  expect(book.list()).toHaveLength(30);
});

it('gives an agent 20 pins, and the owner as many as wanted', async () => {
  const owned = signer.point(100);
  await take(owned);
  await book.pin(owned.id, 'the first of the owner');
  for (let number = 1; number <= 21; number += 1) {
    const answer = await take(signer.point(number, { pin: `pin ${number}` }));
    expect(answer).toEqual({ held: true, code: number > 20 ? 'PINS_LIMITED' : null });
  }
  const last = signer.point(22);
  await take(last);
  await book.pin(last.id, 'mine');
  const before = shown();
  expect(before.filter(([, label]) => label !== null)).toHaveLength(22);
  await reopen();
  expect(shown()).toEqual(before);
  expect(await book.unpin(last.id)).toBe(true);
  expect(await book.unpin(last.id)).toBe(false);
  await reopen();
  expect(Object.fromEntries(shown())[last.id]).toBeNull();
});

it('lets points go by their receipt, never pinned ones, and removes their files', async () => {
  const pinned = signer.point(1, { pin: 'for ever' });
  await take(pinned);
  const gone = signer.point(2);
  await take(gone);
  clock.retention += 800 * 24 * hourMs;
  const fresh = signer.point(3);
  await take(fresh);
  const expired = await book.expire(defaultPointRules, () => 1);
  expect(expired.map(({ id }) => id)).toEqual([gone.id]);
  expect(fs.existsSync(path.join(directory, `${gone.id}.json`))).toBe(false);
  expect(fs.existsSync(path.join(directory, `${gone.id}.json.sig`))).toBe(false);
  await reopen();
  expect(shown().map(([id]) => id)).toEqual([pinned.id, fresh.id]);
});

it('counts points as received now, with the pins that they ask for, where the journal is lost', async () => {
  const points = [signer.point(1, { pin: 'kept' }), signer.point(2)];
  for (const point of points) await take(point);
  await book.close();
  fs.rmSync(path.join(directory, 'facts.journal'));
  clock.retention += hourMs;
  book = await open();
  expect(new Map(book.list().map(({ id, pin, receivedAt }) => [id, [pin?.label, receivedAt]]))).toEqual(
    new Map([
      [points[0]?.id, ['kept', clock.retention]],
      [points[1]?.id, [undefined, clock.retention]],
    ]),
  );
  expect(fs.readFileSync(book.damagedJournal ?? '', 'utf8')).toBe('');
});

it('has a person look at the pins where the end of the journal is lost, and not after a kill in the middle of a point', async () => {
  const file = path.join(directory, 'facts.journal');
  const lengths: number[] = [];
  for (const number of [1, 2, 3]) {
    await take(signer.point(number));
    lengths.push(fs.statSync(file).size);
  }
  await book.close();
  const whole = fs.readFileSync(file);
  fs.writeFileSync(file, whole.subarray(0, lengths[1]));
  book = await open();
  expect([shown().length, book.damagedJournal]).toEqual([3, null]);
  await book.close();
  fs.writeFileSync(file, whole.subarray(0, lengths[0]));
  book = await open();
  expect([shown().length, book.damagedJournal]).toEqual([3, `${file}.damaged`]);
  expect(fs.readFileSync(`${file}.damaged`)).toEqual(whole.subarray(0, lengths[0]));
});

it('goes on behind a torn end of its journal, and tells of points whose files are damaged', async () => {
  const [first, second] = [signer.point(1), signer.point(2)];
  await take(first);
  await take(second);
  await book.close();
  fs.appendFileSync(path.join(directory, 'facts.journal'), '0badc0de {"type":"tak');
  fs.writeFileSync(path.join(directory, `${first.id}.json`), 'damaged');
  book = await open();
  expect(book.damaged).toEqual([first.id]);
  expect(shown()).toEqual([[second.id, null]]);
  await take(signer.point(3));
  await reopen();
  expect(book.list()).toHaveLength(2);
});

it.each(['write', 'syncData', 'syncDirectory', 'rename', 'open'] as const)(
  'acknowledges nothing that a failing %s kept from the disk, and goes on when it is opened again',
  async (call) => {
    await book.close();
    for (let count = 1; count < 20; count += 1) {
      const faulty = faultyDisk(nodeDisk, { call, count, systemCode: 'ENOSPC' });
      try {
        book = await open(faulty.disk);
      } catch {
        continue;
      }
      const point = signer.point(count);
      const answer = await take(point).catch(() => null);
      if (faulty.hasFailed()) expect(answer === null).toBe(book.mustReopen);
      await book.close();
      book = await open();
      if (answer?.held === true) expect(shown().map(([id]) => id)).toContain(point.id);
      expect((await take(signer.point(count))).held).toBe(true);
      await book.close();
      if (!faulty.hasFailed()) break;
    }
    book = await open();
  },
);

it('finds a point by a part of its name that stands for no other', async () => {
  const [first, second] = [signer.point(1), signer.point(2)];
  await take(first);
  await take(second);
  const ids = book.list().map(({ id }) => id);
  expect(resolvePointId(first.id.slice(0, 15), ids)).toBe(first.id);
  expect(() => resolvePointId('2026', ids)).toThrow(
    expect.objectContaining({ code: 'POINT_UNKNOWN' }) as Error,
  );
  expect(() => resolvePointId('1999', ids)).toThrow(
    expect.objectContaining({ code: 'POINT_UNKNOWN' }) as Error,
  );
});

it('keeps in mind that a point is forgotten when its journal is written anew, until it is settled', async () => {
  const [first, second] = [signer.point(1), signer.point(2)];
  await take(first);
  await take(second);
  await book.forget([first.id]);
  await book.close();
  fs.appendFileSync(path.join(directory, 'facts.journal'), '0badc0de {"type":"damaged"}\n');
  book = await open();
  await reopen();
  expect(shown()).toEqual([[second.id, null]]);
  expect(book.forgotten()).toMatchObject([{ id: first.id, record: { number: 1 }, forgottenAt: 2_000_000 }]);
  await book.settle([first.id, second.id]);
  await reopen();
  expect(book.forgotten()).toEqual([]);
  expect(fs.existsSync(path.join(directory, `${first.id}.json`))).toBe(false);
  expect(shown()).toEqual([[second.id, null]]);
});

it('lets the owner forget a point whose files are damaged, and removes them', async () => {
  const [damaged, pinned, whole] = [signer.point(1), signer.point(2), signer.point(3)];
  for (const one of [damaged, pinned, whole]) await take(one);
  await book.pin(pinned.id, 'kept');
  await book.close();
  for (const { id } of [damaged, pinned]) fs.writeFileSync(path.join(directory, `${id}.json`), 'damaged');
  book = await open();
  await expect(book.forget([pinned.id])).rejects.toMatchObject({ code: 'POINT_PINNED' });
  await book.forget([damaged.id]);
  expect([book.damaged, book.forgotten()]).toMatchObject([[pinned.id], [{ id: damaged.id, record: null }]]);
  await book.settle([damaged.id]);
  await reopen();
  expect([book.damaged, book.forgotten(), book.extras()]).toEqual([[pinned.id], [], []]);
  expect(fs.readdirSync(directory).filter((name) => name.startsWith(damaged.id))).toEqual([]);
  await book.unpin(pinned.id);
  await book.forget([pinned.id]);
  expect(shown()).toEqual([[whole.id, null]]);
});

it('takes the files of a damaged point again where the agent still has them, and changes nothing else that is known of it', async () => {
  const [pinned, forgotten] = [signer.point(1), signer.point(2)];
  for (const one of [pinned, forgotten]) await take(one);
  await book.pin(pinned.id, 'kept');
  await book.close();
  for (const { id } of [pinned, forgotten]) fs.writeFileSync(path.join(directory, `${id}.json`), 'damaged');
  clock.retention += hourMs;
  book = await open();
  await book.forget([forgotten.id]);
  isForgotten = true;
  for (const one of [pinned, forgotten]) expect(await take(one)).toEqual({ held: true, code: null });
  expect(book.needed().map(({ number }) => number)).toEqual([1]);
  await reopen();
  expect(book.list()).toMatchObject([
    { id: pinned.id, receivedAt: 1_000_000, pin: { label: 'kept', by: 'owner' } },
  ]);
  expect([book.damaged, book.forgotten()]).toMatchObject([[], [{ id: forgotten.id, record: null }]]);
});

it('does not call a point pinned that has gone meanwhile, and goes on', async () => {
  const [gone, held] = [signer.point(1), signer.point(2)];
  for (const one of [gone, held]) await take(one);
  await book.forget([gone.id]);
  await expect(book.pin(gone.id, 'kept')).rejects.toMatchObject({ code: 'POINT_UNKNOWN' });
  await book.pin(held.id, 'kept');
  expect(shown()).toEqual([[held.id, 'kept']]);
});

it('writes damaged and lost files of points anew while it is open, and tells of files that nobody stored', async () => {
  const [one, two] = [signer.point(1), signer.point(2)];
  await take(one);
  await take(two);
  await book.pin(two.id, 'kept');
  expect(await book.scrub()).toEqual({ mended: [], extras: [] });
  const at = (name: string): string => path.join(directory, name);
  fs.appendFileSync(at(`${one.id}.json`), ' ');
  fs.rmSync(at(`${two.id}.json.sig`));
  fs.writeFileSync(at('facts.journal'), fs.readFileSync(at('facts.journal'), 'utf8').replace('kept', 'lost'));
  fs.writeFileSync(at('notes.txt'), 'mine');
  const mended = [`${one.id}.json`, `${two.id}.json`, 'facts.journal'];
  expect(await book.scrub()).toEqual({ mended, extras: ['notes.txt'] });
  expect(await book.scrub()).toEqual({ mended: [], extras: ['notes.txt'] });
  expect(fs.readFileSync(at(`${one.id}.json`)).equals(one.record)).toBe(true);
  await reopen();
  expect(shown()).toEqual([
    [one.id, null],
    [two.id, 'kept'],
  ]);
  expect(book.damaged).toEqual([]);
  const lines = fs.readFileSync(at('facts.journal'), 'utf8').split('\n');
  for (const rest of [lines.slice(0, -2).join('\n'), lines.slice(0, -3).join('\n')]) {
    fs.writeFileSync(at('facts.journal'), `${rest}\n`);
    expect((await book.scrub()).mended).toEqual(['facts.journal']);
  }
  fs.truncateSync(at('facts.journal'), 30);
  expect((await book.scrub()).mended).toEqual(['facts.journal']);
  await reopen();
  expect(shown()).toEqual([
    [one.id, null],
    [two.id, 'kept'],
  ]);
});
