import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ContentHistory } from '../support/content-history.ts';
import type { LinkProxy } from '../support/link-proxy.ts';
import { MastodonTree, type Attachment } from '../support/mastodon-tree.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';
import { listVersionFiles } from '../support/version-files.ts';
import { Workbench } from '../support/workbench.ts';

/*
 * The invariant: whatever is killed whenever, `current/` only ever holds whole files that the source has had at that
 * path, everything converges after a restart, and a replaced or deleted file that was stored has exactly one version.
 */

const seed = process.env['MASTOKEEP_SEED'] ?? 'kill programs';
const kills = 12;
const mebibyte = 1024 * 1024;
const asStored = { modes: false, times: false, links: false, emptyDirectories: false };

let bench: Workbench;
let proxy: LinkProxy;
let tree: MastodonTree;
let history: ContentHistory;
let expectedVersions: string[];
let untouched: Attachment[];

beforeEach(async () => {
  bench = await Workbench.create('kill', { proxySeed: seed });
  if (bench.proxy === null) throw new Error('no proxy');
  proxy = bench.proxy;
  tree = MastodonTree.make(bench.source, { seed, files: 900, medianBytes: 15_000 });
  tree.writeFile('large.bin', 12 * mebibyte);
  history = new ContentHistory(bench.source);
  expectedVersions = [];
  untouched = [...tree.attachments];
});

afterEach(async () => {
  await bench.dispose();
});

it(`converges with whole files and single versions after ${kills} kills at any moment (seed "${seed}")`, async () => {
  const random = new SeededRandom(seed);
  proxy.bytesPerSecond = 6 * mebibyte;
  await bench.startPaired();
  for (let round = 0; round < kills; round++) {
    const victim = random.chance(0.5) ? bench.agent : bench.receiver;
    await trafficOrQuiet(random.integer(5000, 3 * mebibyte));
    await victim.kill();
    expect(history.strangersIn(bench.current), `round ${round}, killed the ${victim.kind}`).toEqual([]);
    changeSome(random);
    await victim.start();
  }
  await expectConverged();
});

it.each([
  ['store.content-synced', 1],
  ['store.intent-synced', 1],
  ['store.version-linked', 3],
  ['store.renamed', 20],
  ['store.current-synced', 1],
  ['store.commit-synced', 1],
  ['store.indexed', 1],
])('converges after the receiver died at %s', async (point, count) => {
  await bench.startPaired();
  await bench.settled();
  await bench.receiver.kill();
  changeSome(new SeededRandom(`${seed} ${point}`), 30);
  const receiver = await bench.receiver.launch({ MASTOKEEP_CRASH_AT: `${point}:${count}` });
  const wait = bench.agent.begin(['wait', '--timeout', '60']);
  await Promise.race([receiver.exited, wait.exited]);
  expect(receiver.exitCode, `${point} was not passed\n${receiver.report()}`).toBe(137);
  await wait.kill();
  expect(history.strangersIn(bench.current)).toEqual([]);
  await bench.receiver.start();
  await expectConverged();
});

/** Rewrites and deletes what the receiver holds by now, so that a version of it must come to be; adds new ones. */
function changeSome(random: SeededRandom, count = 6): void {
  const stored = untouched.filter((attachment) => attachment.files.every((file) => isStored(file)));
  for (const [place, attachment] of random.sample(stored, count).entries()) {
    untouched.splice(untouched.indexOf(attachment), 1);
    if (place % 3 === 0) {
      expectedVersions.push(...attachment.files);
      tree.deleteAttachment(attachment);
    } else {
      const file = tree.rewriteOriginal(attachment);
      expectedVersions.push(file);
      history.note(file);
    }
  }
  for (let made = 0; made < count; made++) {
    for (const file of tree.addUpload({ bytes: random.integer(1, 300_000) }).files) history.note(file);
  }
}

function isStored(file: string): boolean {
  const stored = path.join(bench.current, file);
  return (
    fs.existsSync(stored) && fs.readFileSync(stored).equals(fs.readFileSync(path.join(bench.source, file)))
  );
}

/** Resolves after so many more bytes, or when there is nothing left to send. */
async function trafficOrQuiet(bytes: number): Promise<void> {
  const waiting = bench.agent.begin(['wait', '--timeout', '60']);
  await Promise.race([proxy.passed('down', bytes), waiting.exited]);
  await waiting.kill();
}

async function expectConverged(): Promise<void> {
  proxy.bytesPerSecond = Number.POSITIVE_INFINITY;
  await bench.settled();
  expect(formatDifferences(compareTrees(bench.source, bench.current, asStored).differences)).toBe('');
  const versions = listVersionFiles(bench.versions).map((version) => version.path);
  expect(versions.sort()).toEqual(expectedVersions.sort());
  expect((await bench.receiver.status()).agents[0]?.folders[0]?.versions).toBe(versions.length);
}
