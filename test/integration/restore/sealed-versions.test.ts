import { generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RelativePath } from '../../../shared/records/relative-path.ts';
import { ReceiverDirectory, type TreeEntry } from '../../support/receiver-directory.ts';
import { createSealedKeys, type SealedKeys, SealedRestoreBench } from '../../support/sealed-restore-bench.ts';
import { SealedFeedFake, type SealedObject } from '../../support/sealed-store-fixture.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const hourMs = 3_600_000;
const versions = 5;
const begin = Date.parse('2026-11-21T08:40:00.000Z');

let keys: SealedKeys;
let bench: SealedRestoreBench;
let trees: TreeEntry[][];
let sent: ReceiverDirectory;
let nowMs: number;
/** What was sealed since the last time is received, all at once. */
let receive: () => Promise<void>;

beforeAll(async () => {
  keys = await createSealedKeys('owner');
});

/** A version an hour, each with some of the earlier content, received five minutes after it was made. */
beforeEach(async () => {
  const deviceKey = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
  bench = new SealedRestoreBench(temporaryDirectory(), keys, 200_000, { deviceKey });
  nowMs = begin;
  bench.now = () => nowMs;
  sent = new ReceiverDirectory(path.join(bench.directory, 'sent'), {
    folder: 'database',
    sealer: keys.sealer,
    blockBytes: 50_000,
    packBytes: 200_000,
    deviceKey,
  });
  const store = await bench.serve();
  const feed = new SealedFeedFake(() => store);
  const known = new Set<string>();
  receive = () => feed.send(newObjects(sent.folderDirectory, known));
  trees = [];
  for (let hour = 0; hour < versions; hour += 1) {
    const content = Buffer.concat([seededBytes('same', 500_000), seededBytes(`hour ${hour}`, 60_000)]);
    const tree: TreeEntry[] = [
      { type: 'file', path: 'dump', mode: 0o600, content },
      { type: 'file', path: `of-hour-${hour}`, mode: 0o644, content: Buffer.from(`${hour}`) },
    ];
    trees.push(tree);
    await sent.addVersion(tree, new Date(begin + hour * hourMs).toISOString());
    nowMs = begin + hour * hourMs + 300_000;
    await receive();
  }
  nowMs += hourMs;
});

afterEach(() => bench.close());

function newObjects(directory: string, known: Set<string>): SealedObject[] {
  const names = ['packs', 'versions'].flatMap((below) =>
    fs.readdirSync(path.join(directory, below)).map((name) => `${below}/${name}`),
  );
  const fresh = names.filter((name) => !known.has(name)).sort();
  for (const name of fresh) known.add(name);
  return fresh.map((name) => ({
    path: name as RelativePath,
    content: fs.readFileSync(path.join(directory, name)),
  }));
}

it('gives back every version by --at, as this receiver held it at that moment', async () => {
  for (let hour = 0; hour < versions; hour += 1) {
    const at = begin + hour * hourMs + 600_000;
    const result = await bench.restore({ at });
    expect(result.folders[0]?.version?.number).toBe(hour + 1);
    bench.expectTree(trees[hour] ?? []);
    fs.rmSync(bench.target, { recursive: true });
  }
  // made, and not yet received
  const result = await bench.restore({ at: begin + 2 * hourMs + 1000 });
  expect(result.folders[0]?.version?.number).toBe(2);
  expect(bench.restoredNames()).toEqual(['dump', 'of-hour-1']);
});

describe('the latest version over two epochs', () => {
  const small = (text: string): TreeEntry[] => [
    { type: 'file', path: 'dump', mode: 0o600, content: Buffer.from(text) },
  ];

  it('is the one that came last, whatever the clock of the server says', async () => {
    await sent.addVersion(small('clock in the future'), '2099-01-01T00:00:00.000Z');
    await receive();
    nowMs += hourMs;
    sent.epoch = '00000000000000cd';
    await sent.addVersion(small('clock set right'), new Date(nowMs).toISOString());
    await receive();
    nowMs += hourMs;
    expect((await bench.restore()).folders[0]?.version?.number).toBe(versions + 2);
    bench.expectTree(small('clock set right'));
    const told = await bench.restore({ dryRun: true, unsealers: null });
    const numbers = told.folders[0]?.versions?.map(({ number }) => number);
    expect(numbers).toEqual([7, 6, 5, 4, 3, 2, 1]);
  });

  it('is the one with the higher number where both came at once', async () => {
    await sent.addVersion(small('before'), '2099-01-01T00:00:00.000Z');
    // sorts before the other epoch by its name
    sent.epoch = '0000000000000001';
    await sent.addVersion(small('after'), '2020-01-01T00:00:00.000Z');
    await receive();
    expect((await bench.restore()).folders[0]?.version?.number).toBe(versions + 2);
  });

  it('says so when the newest epoch has no complete version, and takes the one before', async () => {
    const before = new Set(fs.readdirSync(path.join(sent.folderDirectory, 'packs')));
    sent.epoch = '00000000000000cd';
    await sent.addVersion(small('incomplete'), '2020-01-01T00:00:00.000Z');
    const packs = path.join(sent.folderDirectory, 'packs');
    const lost = fs.readdirSync(packs).find((name) => !before.has(name));
    fs.rmSync(path.join(packs, lost ?? ''));
    await receive();
    expect((await bench.restore()).folders[0]?.version?.number).toBe(versions);
    expect(bench.notes.join('\n')).toContain(`version ${versions + 1}, made 2020-01-01T00:00:00.000Z`);
  });
});

it('says that nothing was held before the first version came', async () => {
  await expect(bench.restore({ at: begin + 1000 })).rejects.toMatchObject({ code: 'RESTORE_NOTHING_FOUND' });
});

it('tells with --dry-run and without any key what it would restore, by the signed records', async () => {
  const at = begin + 3 * hourMs + 600_000;
  const result = await bench.restore({ at, dryRun: true, unsealers: null });
  const [folder] = result.folders;
  expect(folder).toMatchObject({
    id: 'database',
    failed: [],
    version: { number: 4, signer: bench.data.agent, signerVerified: true, source: null, packsLacking: 0 },
  });
  // made by the server's clock, received by this receiver's: the second is what --at goes by
  expect(
    folder?.versions?.map(({ number, createdAt, receivedAt }) => [number, createdAt, receivedAt]),
  ).toEqual(
    [3, 2, 1, 0].map((hour) => {
      const madeAt = begin + hour * hourMs;
      return [hour + 1, new Date(madeAt).toISOString(), new Date(madeAt + 300_000).toISOString()];
    }),
  );
  expect(folder?.version?.receivedAt).toBe(new Date(begin + 3 * hourMs + 300_000).toISOString());
  // the sizes are those of the packs on disk
  const record = JSON.parse(
    fs.readFileSync(path.join(bench.data.folderDirectory, 'versions', recordName(4)), 'utf8'),
  ) as { packs: [string, number][] };
  const bytes = record.packs.reduce((sum, [hash]) => sum + packSize(hash), 0);
  expect([folder?.version?.packs, folder?.version?.sealedBytes]).toEqual([record.packs.length, bytes]);
  expect(fs.existsSync(bench.target)).toBe(false);
});

it('tells with --dry-run which versions lack packs', async () => {
  const record = fs.readFileSync(path.join(bench.data.folderDirectory, 'versions', recordName(2)), 'utf8');
  const { packs, root } = JSON.parse(record) as { packs: [string, number][]; root: string };
  expect(packs.length).toBeGreaterThan(2);
  const result = await bench.restore({
    dryRun: true,
    unsealers: null,
    lie: (entries) => {
      const lost = entries.findIndex(({ path: name }) => name === `packs/${root}.pgp`);
      if (lost >= 0) entries.splice(lost, 1);
    },
  });
  expect(result.folders[0]?.versions?.map(({ number, packsLacking }) => [number, packsLacking])).toEqual([
    [5, 0],
    [4, 0],
    [3, 0],
    [2, 1],
    [1, 0],
  ]);
});

it('lists the files with --dry-run where the key is named, and writes nothing', async () => {
  const result = await bench.restore({ dryRun: true });
  expect(result.folders[0]?.entries).toEqual([
    { path: 'dump', kind: 'file', bytes: 560_000 },
    { path: 'of-hour-4', kind: 'file', bytes: 1 },
  ]);
  expect(fs.existsSync(bench.target)).toBe(false);
});

function recordName(number: number): string {
  const prefix = String(number).padStart(10, '0');
  const names = fs.readdirSync(path.join(bench.data.folderDirectory, 'versions'));
  return names.find((name) => name.startsWith(prefix) && name.endsWith('.json')) ?? '';
}

function packSize(hash: string): number {
  return fs.statSync(path.join(bench.data.folderDirectory, 'packs', `${hash}.pgp`)).size;
}
