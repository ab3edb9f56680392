import { describe, it } from 'vitest';
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

describe.concurrent('a bad network', () => {
  it(`gets over flipped bits and cuts at any moment (seed "${seed}")`, async ({ expect }) => {
    await withBench(async (bench, proxy) => {
      const random = new SeededRandom(seed);
      const settled = bench.settled({ timeoutS: 240 });
      for (let round = 0; round < 8; round++) {
        await Promise.race([proxy.passed('down', random.integer(1000, 2 * mebibyte)), settled]);
        if (random.chance(0.5)) proxy.corruptAfter(random.integer(0, 200_000));
        else proxy.cut();
      }
      await settled;
      expect(differences(bench)).toBe('');
    });
  });

  it('works, slowly, where every piece takes its time', async ({ expect }) => {
    await withBench(async (bench, proxy) => {
      proxy.delayMs = 60;
      await bench.settled({ timeoutS: 240 });
      expect(differences(bench)).toBe('');
    });
  });
});

async function withBench(body: (bench: Workbench, proxy: LinkProxy) => Promise<void>): Promise<void> {
  const bench = await Workbench.create('network', { proxySeed: seed });
  try {
    if (bench.proxy === null) throw new Error('no proxy');
    const tree = MastodonTree.make(bench.source, { seed, files: 600, medianBytes: 15_000 });
    tree.writeFile('large.bin', 10 * mebibyte);
    bench.proxy.bytesPerSecond = 8 * mebibyte;
    await bench.startPaired();
    await body(bench, bench.proxy);
  } finally {
    await bench.dispose();
  }
}

/** Empty when the copy is right and nothing got a version. */
function differences(bench: Workbench): string {
  const versions = listVersionFiles(bench.versions).map((version) => `version: ${version.file}`);
  return [
    formatDifferences(compareTrees(bench.source, bench.current, asStored).differences),
    ...versions,
  ].join('\n');
}
