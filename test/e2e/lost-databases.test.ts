import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeEach, expect, it } from 'vitest';
import type { LinkProxy } from '../support/link-proxy.ts';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';
import { listVersionFiles } from '../support/version-files.ts';
import { Workbench } from '../support/workbench.ts';

const mebibyte = 1024 * 1024;
const files = 300;
/** Records of 300 files, handshakes and a link that stays open for a while. */
const indexBytesMax = 400_000;

let bench: Workbench;
let tree: MastodonTree;
let proxy: LinkProxy;

/** Made once and again after a failure: each test leaves both sides alike. */
let isMade = false;
/** Versions that there were before the test. */
let versionsBefore: string[];

beforeEach(async () => {
  if (!isMade) await makeBench();
  versionsBefore = versionFiles();
});

afterEach(async ({ task }) => {
  if (task.result?.state !== 'fail') return;
  isMade = false;
  await bench.dispose();
});

afterAll(async () => {
  if (isMade) await bench.dispose();
});

async function makeBench(): Promise<void> {
  bench = await Workbench.create('lost', { proxySeed: 'lost databases' });
  isMade = true;
  if (bench.proxy === null) throw new Error('no proxy');
  proxy = bench.proxy;
  tree = MastodonTree.make(bench.source, { seed: 'lost databases', files, medianBytes: 30_000 });
  tree.writeFile('large.bin', 20 * mebibyte);
  await bench.startPaired();
  await bench.settled();
  expect(proxy.bytes.down).toBeGreaterThan(compareTrees(bench.source, bench.source).bytes);
}

it('needs an index but no transfer when the agent has lost its database, and misses no change', async () => {
  await bench.agent.kill();
  expect(removeDatabases(bench.agent.home)).not.toEqual([]);
  const [changed, deleted] = [tree.attachments[3], tree.attachments[5]];
  if (!changed || !deleted) throw new Error('too small a tree');
  const rewritten = tree.rewriteOriginal(changed, 5000);
  tree.deleteAttachment(deleted);
  const sentBefore = proxy.bytes.down;
  await bench.agent.start();
  await bench.settled();
  expect(proxy.bytes.down - sentBefore).toBeLessThan(indexBytesMax);
  expectSameTrees();
  expect(new Set(newVersions())).toEqual(new Set([rewritten, ...deleted.files]));
});

it('needs an index but no transfer when the server was rolled back to a snapshot, and misses no change', async () => {
  expect(await bench.agent.stop()).toBe(0);
  const snapshot = path.join(bench.directory, 'snapshot');
  fs.cpSync(bench.agent.home, snapshot, { recursive: true, filter: (name) => !name.endsWith('.sock') });
  await bench.agent.start();
  const [changed, deleted] = [tree.attachments[3], tree.attachments[5]];
  if (!changed || !deleted) throw new Error('too small a tree');
  const rewritten = tree.rewriteOriginal(changed, 5000);
  tree.deleteAttachment(deleted);
  for (let made = 0; made < 5; made++) tree.addUpload();
  await bench.settled();
  await bench.agent.kill();
  fs.rmSync(bench.agent.home, { recursive: true });
  fs.renameSync(snapshot, bench.agent.home);
  const again = tree.rewriteOriginal(changed, 6000);
  const upload = tree.addUpload({ extension: 'jpg' });
  const sentBefore = proxy.bytes.down;
  await bench.agent.start();
  await bench.settled();
  expect(proxy.bytes.down - sentBefore).toBeLessThan(indexBytesMax);
  expectSameTrees();
  expect(fs.existsSync(path.join(bench.current, upload.files[0] ?? ''))).toBe(true);
  expect(newVersions()).toEqual([rewritten, again, ...deleted.files].sort());
});

it('notices a rolled-back server also where it went on with as many other changes, at the same sequence', async () => {
  const [changed, other] = [tree.attachments[3], tree.attachments[7]];
  const original = path.join(bench.source, changed?.files[0] ?? '');
  if (!changed || !other) throw new Error('too small a tree');
  const [home, file] = [
    path.join(bench.directory, 'snapshot'),
    path.join(bench.directory, 'snapshot-of-file'),
  ];
  expect(await bench.agent.stop()).toBe(0);
  fs.cpSync(bench.agent.home, home, { recursive: true, filter: (name) => !name.endsWith('.sock') });
  execFileSync('cp', ['-a', original, file]);
  await bench.agent.start();
  tree.rewriteOriginal(changed, 5000);
  await bench.settled();
  const sequence = async (): Promise<unknown> => (await bench.agent.status()).folders[0]?.sequence;
  const before = await sequence();
  await bench.agent.kill();
  fs.rmSync(bench.agent.home, { recursive: true });
  fs.renameSync(home, bench.agent.home);
  fs.renameSync(file, original);
  tree.rewriteOriginal(other, 6000);
  const sentBefore = proxy.bytes.down;
  await bench.agent.start();
  await bench.settled();
  expect(await sequence()).toBe(before);
  expectSameTrees();
  expect(proxy.bytes.down - sentBefore).toBeLessThan(indexBytesMax);
});

it('needs no transfer when the receiver has lost its database, and keeps every version', async () => {
  const changed = tree.attachments[3];
  if (!changed) throw new Error('too small a tree');
  const rewritten = tree.rewriteOriginal(changed, 5000);
  await bench.settled();
  const versions = await versionsOf(rewritten);
  await bench.receiver.kill();
  expect([...removeDatabases(bench.receiver.home), ...removeDatabases(bench.data)]).not.toEqual([]);
  const sentBefore = proxy.bytes.down;
  await bench.receiver.must(['reindex']);
  await bench.receiver.start();
  await bench.settled();
  expect(proxy.bytes.down - sentBefore).toBeLessThan(indexBytesMax);
  expectSameTrees();
  expect(await versionsOf(rewritten)).toEqual(versions);
  expect(newVersions()).toEqual([rewritten]);
  const status = await bench.receiver.status();
  expect(status.agents[0]?.folders[0]?.versions).toBe(versionFiles().length);
});

it('reindexes while it receives: what was under way goes on, and nobody is alarmed', async () => {
  const { daemon } = bench.receiver;
  const loggedBefore = daemon.stderr.length;
  proxy.bytesPerSecond = 10 * mebibyte;
  const half = proxy.passed('down', 15 * mebibyte);
  tree.writeFile('larger.bin', 30 * mebibyte);
  const settled = bench.settled();
  await half;
  const reindexed = await bench.receiver.must(['reindex', '--json']);
  expect(JSON.parse(reindexed)).toMatchObject({
    folders: [{ id: 'media', versions: versionsBefore.length }],
  });
  await settled;
  proxy.bytesPerSecond = Number.POSITIVE_INFINITY;
  expectSameTrees();
  // the last line may be half there
  const lines = daemon.stderr.slice(loggedBefore).split('\n').slice(0, -1);
  const levels = new Set(lines.map((line) => (JSON.parse(line) as { level: string }).level));
  expect([levels.has('info'), levels.has('error')], lines.join('\n')).toEqual([true, false]);
});

it('sends only what is new of a large file that grew or had something inserted', async () => {
  let sentBefore = proxy.bytes.down;
  tree.appendTo('large.bin', 10_000);
  await bench.settled();
  expect(proxy.bytes.down - sentBefore).toBeLessThan(0.1 * 20 * mebibyte);
  sentBefore = proxy.bytes.down;
  tree.insertInto('large.bin', 7_000_001, 10_000);
  await bench.settled();
  expect(proxy.bytes.down - sentBefore).toBeLessThan(0.1 * 20 * mebibyte);
  expectSameTrees();
  expect(newVersions()).toEqual(['large.bin', 'large.bin']);
});

it('goes on where it was when a large transfer was interrupted', async () => {
  proxy.bytesPerSecond = 10 * mebibyte;
  const sentBefore = proxy.bytes.down;
  tree.writeFile('largest.bin', 30 * mebibyte);
  const half = proxy.passed('down', 15 * mebibyte);
  const settled = bench.settled();
  await half;
  proxy.cut();
  await settled;
  proxy.bytesPerSecond = Number.POSITIVE_INFINITY;
  expect(proxy.bytes.down - sentBefore).toBeLessThan(1.4 * 30 * mebibyte);
  expectSameTrees();
});

it('sends next to nothing for moves and copies', async () => {
  const sentBefore = proxy.bytes.down;
  fs.mkdirSync(path.join(bench.source, 'moved'));
  fs.renameSync(path.join(bench.source, 'large.bin'), path.join(bench.source, 'moved/large.bin'));
  fs.copyFileSync(path.join(bench.source, 'moved/large.bin'), path.join(bench.source, 'copy.bin'));
  for (const attachment of tree.attachments.slice(0, 40)) tree.moveAttachment(attachment);
  await bench.settled();
  expect(proxy.bytes.down - sentBefore).toBeLessThan(200_000);
  expectSameTrees();
});

/** Files below `versions/`, sorted. */
function versionFiles(): string[] {
  return listVersionFiles(bench.versions)
    .map(({ file }) => file)
    .sort();
}

/** Paths of the versions that came to be in this test, sorted. */
function newVersions(): string[] {
  const before = new Set(versionsBefore);
  return listVersionFiles(bench.versions)
    .filter(({ file }) => !before.has(file))
    .map((version) => version.path)
    .sort();
}

function expectSameTrees(): void {
  const options = { modes: false, times: false, links: false, emptyDirectories: false };
  expect(formatDifferences(compareTrees(bench.source, bench.current, options).differences)).toBe('');
}

async function versionsOf(file: string): Promise<unknown> {
  const stdout = await bench.receiver.must(['versions', 'media', file, '--json']);
  return (JSON.parse(stdout) as { versions: unknown }).versions;
}

/** Removes SQLite files below the directory, as a disk repair may; the copies themselves stay. */
function removeDatabases(directory: string): string[] {
  const removed = fs
    .readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(db|sqlite)(-wal|-shm)?$/.test(name) && !/(^|\/)(current|versions)\//.test(name));
  for (const name of removed) fs.rmSync(path.join(directory, name));
  return removed;
}
