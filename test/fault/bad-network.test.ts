import { afterEach, beforeEach, expect, it } from 'vitest';
import type { LinkProxy } from '../support/link-proxy.ts';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';
import { listVersionFiles } from '../support/version-files.ts';
import { Workbench } from '../support/workbench.ts';

/* The invariant: whatever the network does, what arrives is right, nothing is versioned twice, and it goes on by itself. */

const seed = process.env['MASTOKEEP_SEED'] ?? 'bad network';
const mebibyte = 1024 * 1024;
const asStored = { modes: false, times: false, links: false, emptyDirectories: false };

let bench: Workbench;
let proxy: LinkProxy;
let tree: MastodonTree;

beforeEach(async () => {
  bench = await Workbench.create('network', { proxySeed: seed });
  if (bench.proxy === null) throw new Error('no proxy');
  proxy = bench.proxy;
  tree = MastodonTree.make(bench.source, { seed, files: 600, medianBytes: 15_000 });
  tree.writeFile('large.bin', 10 * mebibyte);
  proxy.bytesPerSecond = 8 * mebibyte;
  await bench.startPaired();
});

afterEach(async () => {
  await bench.dispose();
});

it(`gets over flipped bits and cuts at any moment (seed "${seed}")`, async () => {
  const random = new SeededRandom(seed);
  const settled = bench.settled({ timeoutS: 240 });
  for (let round = 0; round < 8; round++) {
    await Promise.race([proxy.passed('down', random.integer(1000, 2 * mebibyte)), settled]);
    if (random.chance(0.5)) proxy.corruptAfter(random.integer(0, 200_000));
    else proxy.cut();
  }
  await settled;
  expectSame();
});

it('notices a connection on which nothing moves any more, and makes another', async () => {
  const settled = bench.settled({ timeoutS: 240 });
  await proxy.passed('down', 2 * mebibyte);
  proxy.fallSilent();
  const connections = proxy.connections;
  // The other side sees neither an end nor an error: only a clock can tell. New connections stay silent too.
  while (proxy.connections === connections) await new Promise((resolve) => setTimeout(resolve, 200));
  proxy.restore();
  await settled;
  expectSame();
});

it('works, slowly, where every piece takes its time', async () => {
  proxy.delayMs = 60;
  await bench.settled({ timeoutS: 240 });
  expectSame();
});

function expectSame(): void {
  expect(formatDifferences(compareTrees(bench.source, bench.current, asStored).differences)).toBe('');
  expect(listVersionFiles(bench.versions)).toEqual([]);
}
