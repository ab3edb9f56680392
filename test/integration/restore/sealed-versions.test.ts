import { generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
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

beforeAll(async () => {
  keys = await createSealedKeys('owner');
});

/** A version an hour, each with some of the earlier content, received five minutes after it was made. */
beforeEach(async () => {
  const deviceKey = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
  bench = new SealedRestoreBench(temporaryDirectory(), keys, 200_000, { deviceKey });
  let nowMs = begin;
  bench.now = () => nowMs;
  const sent = new ReceiverDirectory(path.join(bench.directory, 'sent'), {
    folder: 'database',
    sealer: keys.sealer,
    blockBytes: 50_000,
    packBytes: 200_000,
    deviceKey,
  });
  const store = await bench.serve();
  const feed = new SealedFeedFake(() => store);
  const known = new Set<string>();
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
    await feed.send(newObjects(sent.folderDirectory, known));
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
  expect(folder?.versions?.map(({ number, createdAt }) => [number, createdAt])).toEqual(
    [3, 2, 1, 0].map((hour) => [hour + 1, new Date(begin + hour * hourMs).toISOString()]),
  );
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
