import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SpoolBound } from '../../../agent/seal/spool-bound.ts';
import {
  createTestKey,
  HeldObjects,
  readVersion,
  SealedBench,
  type TestKey,
} from '../../support/sealed-bench.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { until } from '../../support/until.ts';

const mib = 1024 * 1024;
const spoolBytesMax = 4 * mib;
const dayMs = 86_400_000;

let home: string;
let key: TestKey;
let bench: SealedBench;
let spool: { bytesMax: number; waitMsMax: number };

beforeEach(async () => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-spool-'));
  key = await createTestKey('owner');
  // for room, of which there will be some: the test pulls
  spool = { bytesMax: spoolBytesMax, waitMsMax: 600_000 };
  bench = await SealedBench.create(home, [key.recipient], {
    packBytesMax: mib,
    spool,
  });
});
afterEach(() => {
  bench.close();
  fs.rmSync(home, { recursive: true, force: true });
});

/** Pulls all the time until `work` has ended; gives the largest spool that was seen. */
async function pullingDuring(
  receivers: HeldObjects[],
  work: Promise<unknown>,
  from = bench,
): Promise<number> {
  let largest = 0;
  const state = { done: false };
  const ended = work.finally(() => {
    state.done = true;
  });
  ended.catch(() => {});
  while (!state.done) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (state.done) break;
    largest = Math.max(largest, from.sealed.keeper.spoolBytes());
    for (const receiver of receivers) receiver.pull(from.feed, 1);
  }
  await ended;
  return largest;
}

const read = async (held: HeldObjects) =>
  readVersion(held.files, held.latest(), {
    unsealer: key.unsealer,
    agentKeyPem: bench.identity.keyPem,
    folder: bench.folder,
  });

it('lets a first dump five times the spool flow through, to a receiver that pulls meanwhile', async () => {
  const content = seededBytes('flow', 5 * spoolBytesMax);
  const held = new HeldObjects('receiver');
  const largest = await pullingDuring([held], bench.dump(content));
  expect(largest).toBeLessThanOrEqual(spoolBytesMax);
  held.pull(bench.feed);
  expect((await read(held)).files.get('database.dump')?.equals(content)).toBe(true);
});

it('lets a first dump flow through a spool with room for one pack, and says so where there is none for it', async () => {
  const made = async (name: string, bytesMax: number, waitMsMax: number): Promise<SealedBench> => {
    fs.mkdirSync(path.join(home, name));
    const spool = { bytesMax, waitMsMax };
    return SealedBench.create(path.join(home, name), [key.recipient], { packBytesMax: mib, spool });
  };
  const content = seededBytes('narrow', 5 * mib);
  const narrow = await made('narrow', 1.5 * mib, 200_000);
  try {
    const held = new HeldObjects('receiver');
    await pullingDuring([held], narrow.dump(content), narrow);
    // the dump may end before what it announced last is pulled
    held.pull(narrow.feed);
    expect(held.files.size).toBeGreaterThan(5);
  } finally {
    narrow.close();
  }
  const tooNarrow = await made('too-narrow', mib / 2, 0);
  try {
    await expect(tooNarrow.dump(content)).rejects.toMatchObject({
      code: 'SPOOL_FULL',
      message: expect.stringMatching(
        /^the spool may have 524288 bytes, and what is being sealed needs \d+$/,
      ) as string,
    });
  } finally {
    tooNarrow.close();
  }
});

it('fails with an alarm when nobody takes anything, and keeps what is sealed for the next run', async () => {
  const content = seededBytes('nobody', 3 * spoolBytesMax);
  spool.waitMsMax = 500;
  await expect(bench.dump(content)).rejects.toMatchObject({ code: 'SPOOL_FULL' });
  spool.waitMsMax = 600_000;
  expect(bench.sealed.index.folder().failure).toContain('no receiver holds any of it');
  const sealedBytes = bench.sealed.keeper.spoolBytes();
  expect(sealedBytes).toBeGreaterThan(spoolBytesMax / 2);
  const held = new HeldObjects('receiver');
  held.pull(bench.feed);
  const run = bench.dump(content);
  await pullingDuring([held], run);
  const { newBytes } = await run;
  expect(newBytes).toBeLessThan(content.length - spoolBytesMax / 2);
  held.pull(bench.feed);
  expect((await read(held)).files.get('database.dump')?.equals(content)).toBe(true);
});

it('goes on for one receiver while another is off for a month, and carries just what that one lacks when it is back', async () => {
  const [live, off] = [new HeldObjects('live'), new HeldObjects('off')];
  bench.clockMs = Date.now();
  const everlasting = seededBytes('everlasting', 2 * mib);
  const changing = (day: number): Buffer => seededBytes(`day ${day}`, mib);
  await pullingDuring([live, off], bench.dump(Buffer.concat([everlasting, changing(0)])));
  for (const held of [live, off]) held.pull(bench.feed);
  let content: Buffer = Buffer.alloc(0);
  for (let day = 1; day <= 31; day += 1) {
    bench.clockMs += dayMs;
    content = Buffer.concat([everlasting, changing(day)]);
    const run = bench.dump(content);
    expect(await pullingDuring([live], run)).toBeLessThanOrEqual(spoolBytesMax);
    // no day costs more because somebody is off
    expect((await run).newBytes, `day ${day}`).toBeLessThan(1.2 * mib);
    live.pull(bench.feed);
    expect((await read(live)).files.get('database.dump')?.equals(content)).toBe(true);
  }
  // what the other one has acknowledged leaves the spool a moment later
  bench.sealed.keeper.settle();
  // back, and what it was passed over for is sealed again by the next dump, not what it has
  off.pull(bench.feed);
  bench.clockMs += dayMs;
  const { newBytes } = await bench.dump(content);
  expect(newBytes).toBeGreaterThan(0.9 * mib);
  expect(newBytes).toBeLessThan(1.5 * mib);
  for (const held of [live, off]) {
    held.pull(bench.feed);
    expect((await read(held)).files.get('database.dump')?.equals(content)).toBe(true);
  }
});

it('seals a dump once and gives every receiver the same packs, however many there are', async () => {
  const receivers = [new HeldObjects('one'), new HeldObjects('two'), new HeldObjects('three')];
  const { newBytes } = await bench.dump(seededBytes('for all', 2 * mib));
  const spooled = bench.spoolNames();
  for (const held of receivers) held.pull(bench.feed);
  const [first, ...others] = receivers.map(({ files }) => files);
  for (const other of others) expect(other).toEqual(first);
  expect(first?.size).toBe(spooled.length);
  const packs = [...(first ?? [])].filter(([name]) => name.startsWith('packs/'));
  expect(packs.reduce((sum, [, bytes]) => sum + bytes.length, 0)).toBeLessThan(1.2 * newBytes);
});

it('announces nothing that it no longer has, and no signature apart from its record', async () => {
  const held = new HeldObjects('receiver');
  for (let hour = 0; hour < 3; hour += 1) await bench.dump(seededBytes(`hour ${hour}`, mib / 2));
  let sequence = 0;
  for (;;) {
    const batch = bench.feed.batchAfter(sequence, 1);
    if (batch === null) break;
    expect(
      bench.feed.matches({ indexId: bench.feed.indexId(), sequence: batch.through, token: batch.token }),
    ).toBe(true);
    const paths = batch.records.map(({ path: name }) => name);
    for (const name of paths) if (name.endsWith('.sig')) expect(paths).toContain(name.slice(0, -4));
    sequence = batch.through;
  }
  held.pull(bench.feed);
  bench.sealed.keeper.settle();
  expect(bench.feed.batchAfter(0)).toMatchObject({ records: [], through: sequence });
  expect(bench.feed.pendingAfter(0)).toEqual({ files: 0, bytes: 0 });
});

it('seals again what was damaged in the spool', async () => {
  const content = seededBytes('damaged', 2 * mib);
  await bench.dump(content);
  // The largest: the others are the root message and the manifest, which every dump makes anew.
  const sizeOf = (file: string): number => {
    const state = bench.feed.recordAt(file as never)?.state;
    return state?.kind === 'file' ? state.size : 0;
  };
  const name = bench.spoolNames().toSorted((a, b) => sizeOf(b) - sizeOf(a))[0] ?? '';
  expect(sizeOf(name)).toBeGreaterThan(mib);
  await bench.feed.markDirty(name as never);
  expect(bench.feed.recordAt(name as never)).toBeNull();
  expect(bench.spoolNames()).not.toContain(name);
  const held = new HeldObjects('receiver');
  expect((await bench.dump(content)).newBytes).toBeGreaterThan(0);
  held.pull(bench.feed);
  expect((await read(held)).files.get('database.dump')?.equals(content)).toBe(true);
});

it('seals again what vanished from the spool while the program was off', async () => {
  const content = seededBytes('vanished', 2 * mib);
  await bench.dump(content);
  bench.close();
  const packs = path.join(home, 'spool', bench.folder, 'packs');
  const sizes = fs
    .readdirSync(packs)
    .map((name) => ({ name, size: fs.statSync(path.join(packs, name)).size }));
  const name = sizes.toSorted((a, b) => b.size - a.size)[0]?.name ?? '';
  fs.rmSync(path.join(packs, name));
  bench.reopen();
  expect(bench.feed.recordAt(`packs/${name}` as never)).toBeNull();
  expect((await bench.dump(content)).newBytes).toBeGreaterThan(mib / 2);
  const held = new HeldObjects('receiver');
  held.pull(bench.feed);
  expect((await read(held)).files.get('database.dump')?.equals(content)).toBe(true);
});

it('holds the bound for all folders together: one makes room at the cost of another, of what a receiver has', async () => {
  const bound = new SpoolBound(Date.now, { bytesMax: spoolBytesMax, waitMsMax: 1000 });
  const options = { packBytesMax: mib, bound };
  const folders = await Promise.all(
    ['first', 'second'].map(async (name) => {
      fs.mkdirSync(path.join(home, name));
      return SealedBench.create(path.join(home, name), [key.recipient], options);
    }),
  );
  const [first, second] = folders as [SealedBench, SealedBench];
  try {
    const content = seededBytes('first folder', 2.5 * mib);
    await first.dump(content);
    const more = seededBytes('second folder', 2.5 * mib);
    await expect(second.dump(more)).rejects.toMatchObject({ code: 'SPOOL_FULL' });
    expect(bound.bytes()).toBeLessThanOrEqual(spoolBytesMax);
    expect(first.sealed.keeper.spoolBytes() + second.sealed.keeper.spoolBytes()).toBe(bound.bytes());
    // one of two receivers takes the first folder: the other one is passed over for the second folder's sake
    const [live, slow] = [new HeldObjects('live'), new HeldObjects('slow')];
    first.feed.acknowledged('slow', { indexId: first.feed.indexId(), sequence: 0, token: Buffer.alloc(32) });
    live.pull(first.feed);
    const made = await second.dump(more);
    expect(made.plainBytes).toBe(more.length);
    expect(bound.bytes()).toBeLessThanOrEqual(spoolBytesMax);
    const active = (): string[] => first.sealed.keeper.active().map(({ receiverId }) => receiverId);
    expect(active()).toEqual(['live']);
    // to be on a live link is not to report
    first.sealed.keeper.seen('slow');
    expect(active()).toEqual(['live']);
    // and what it was passed over for comes with the next dump
    slow.pull(first.feed);
    const again = new HeldObjects('taker');
    again.pull(second.feed);
    expect((await first.dump(content)).newBytes).toBe(content.length);
  } finally {
    for (const folder of folders) folder.close();
  }
});

it('drops what a dump that broke off left in the spool once a version does without it', async () => {
  const content = seededBytes('broke off', 2 * mib);
  bench.content = async function* () {
    yield content;
    await until('a pack is sealed', () => bench.sealed.index.objects.spooled().length > 0);
    throw new Error('the source failed');
  };
  await expect(bench.sealed.dump(new AbortController().signal)).rejects.toThrowError('the source failed');
  const left = bench.spoolNames();
  // and nothing of what was being written when it broke off
  expect(left.filter((name) => name.endsWith('.tmp'))).toEqual([]);
  expect(
    bench.sealed.index.objects
      .spooled()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(left.sort());
  expect(left.length).toBeGreaterThan(0);
  const { index } = bench.sealed;
  expect(index.objects.packs(index.epoch()?.id ?? 0)).not.toEqual([]);
  expect(index.objects.packs(index.startEpoch('somebody else', Date.now()).id)).toEqual([]);
  await bench.dump(seededBytes('something else', mib / 2));
  for (const name of left) expect(bench.spoolNames()).not.toContain(name);
  const held = new HeldObjects('receiver');
  held.pull(bench.feed);
  expect((await read(held)).files.size).toBe(1);
});
