import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'vitest';
import { ContentHistory } from '../support/content-history.ts';
import { ifThere } from '../support/if-there.ts';
import type { LinkProxy } from '../support/link-proxy.ts';
import { MastodonTree, type Attachment } from '../support/mastodon-tree.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';
import { until } from '../support/until.ts';
import { listVersionFiles } from '../support/version-files.ts';
import { Workbench } from '../support/workbench.ts';

/*
 * The invariant: whatever is killed whenever or falls silent, `current/` only ever holds whole files that the source has had at that
 * path, everything converges after a restart, and a replaced or deleted file that was stored has exactly one version.
 */

const seed = process.env['MASTOKEEP_SEED'] ?? 'kill programs';
const kills = 12;
const mebibyte = 1024 * 1024;
/** Where the receiver dies, and at which pass. */
const points = [
  ['store.content-synced', 1],
  ['store.intent-synced', 1],
  ['store.version-linked', 3],
  ['store.renamed', 20],
  ['store.current-synced', 1],
  ['store.commit-synced', 1],
  ['store.indexed', 1],
] as const;
const asStored = { modes: false, times: false, links: false, emptyDirectories: false };

describe.concurrent('kills', () => {
  it(`leave whole files and single versions, ${kills} of them at any moment (seed "${seed}")`, async ({
    expect,
  }) => {
    await withBench(async (bench) => {
      const random = new SeededRandom(seed);
      bench.proxy.bytesPerSecond = 6 * mebibyte;
      await bench.programs.startPaired();
      for (let round = 0; round < kills; round++) {
        const victim = random.chance(0.5) ? bench.programs.agent : bench.programs.receiver;
        await bench.trafficOrQuiet(random.integer(5000, 3 * mebibyte));
        await victim.kill();
        expect(bench.strangers(), `round ${round}, killed the ${victim.kind}`).toEqual([]);
        bench.changeSome(random);
        await victim.start();
      }
      expect(await bench.converged()).toEqual(bench.expected());
    });
  });

  it('of the receiver at any named point of a batch leave the same', async ({ expect }) => {
    await withBench(async (bench) => {
      const { agent, receiver } = bench.programs;
      await bench.programs.startPaired();
      await bench.programs.settled();
      for (const [point, count] of points) {
        await receiver.kill();
        bench.changeSome(new SeededRandom(`${seed} ${point}`), 30);
        const dying = await receiver.launch({ MASTOKEEP_CRASH_AT: `${point}:${count}` });
        const wait = agent.begin(['wait', '--timeout', '600']);
        await Promise.race([dying.exited, wait.exited]);
        expect(dying.exitCode, `${point} was not passed\n${dying.report()}`).toBe(137);
        await wait.kill();
        expect(bench.strangers(), point).toEqual([]);
        await receiver.start();
        expect(await bench.converged(), point).toEqual(bench.expected());
      }
    });
  });
});

// beside the kills, because nearly all of its time passes by waiting
it.concurrent('notice a connection on which nothing moves any more, and make another', async ({ expect }) => {
  await withBench(async (bench) => {
    const { programs, proxy } = bench;
    proxy.bytesPerSecond = 8 * mebibyte;
    await programs.startPaired();
    const settled = programs.settled({ timeoutS: 600 });
    await proxy.passed('down', 2 * mebibyte);
    const { connections } = proxy;
    proxy.fallSilent();
    // The other side sees neither an end nor an error: only a clock can tell. New connections stay silent too.
    await until('another attempt', () => proxy.connections > connections, { timeoutMs: 300_000 });
    proxy.restore();
    await settled;
    expect(await bench.converged()).toEqual(bench.expected());
  });
});

/** Two programs with a bad line between them, and a tree that changes. */
class KillBench {
  readonly programs: Workbench;
  readonly proxy: LinkProxy;
  readonly #tree: MastodonTree;
  readonly #history: ContentHistory;
  readonly #untouched: Attachment[];
  readonly #expectedVersions: string[] = [];

  constructor(programs: Workbench) {
    if (programs.proxy === null) throw new Error('no proxy');
    this.programs = programs;
    this.proxy = programs.proxy;
    this.#tree = MastodonTree.make(programs.source, { seed, files: 900, medianBytes: 15_000 });
    this.#tree.writeFile('large.bin', 12 * mebibyte);
    this.#history = new ContentHistory(programs.source);
    this.#untouched = [...this.#tree.attachments];
  }

  /** Files of the copy that are not whole, or that the source never had. */
  strangers(): string[] {
    return this.#history.strangersIn(this.programs.current);
  }

  /** Rewrites and deletes what the receiver holds by now, so that a version of it must come to be; adds new ones. */
  changeSome(random: SeededRandom, count = 6): void {
    const stored = this.#untouched.filter((attachment) =>
      attachment.files.every((file) => this.#isStored(file)),
    );
    for (const [place, attachment] of random.sample(stored, count).entries()) {
      this.#untouched.splice(this.#untouched.indexOf(attachment), 1);
      if (place % 3 === 0) {
        this.#expectedVersions.push(...attachment.files);
        this.#tree.deleteAttachment(attachment);
      } else {
        const file = this.#tree.rewriteOriginal(attachment);
        this.#expectedVersions.push(file);
        this.#history.note(file);
      }
    }
    for (let made = 0; made < count; made++) {
      const { files } = this.#tree.addUpload({ bytes: random.integer(1, 300_000) });
      for (const file of files) this.#history.note(file);
    }
  }

  /** Resolves after so many more bytes, or when there is nothing left to send. */
  async trafficOrQuiet(bytes: number): Promise<void> {
    const waiting = this.programs.agent.begin(['wait', '--timeout', '600']);
    await Promise.race([this.proxy.passed('down', bytes), waiting.exited]);
    await waiting.kill();
  }

  /** What there is when everything has settled. */
  async converged() {
    const { source, current, versions, receiver } = this.programs;
    this.proxy.bytesPerSecond = Number.POSITIVE_INFINITY;
    await this.programs.settled();
    return {
      differences: formatDifferences(compareTrees(source, current, asStored).differences),
      versions: listVersionFiles(versions)
        .map((version) => version.path)
        .sort(),
      counted: (await receiver.status()).agents[0]?.folders[0]?.versions,
    };
  }

  /** What there has to be. */
  expected() {
    const versions = this.#expectedVersions.toSorted();
    return { differences: '', versions, counted: versions.length };
  }

  #isStored(file: string): boolean {
    const { source, current } = this.programs;
    const stored = ifThere(() => fs.readFileSync(path.join(current, file)));
    return stored?.equals(fs.readFileSync(path.join(source, file))) === true;
  }
}

async function withBench(body: (bench: KillBench) => Promise<void>): Promise<void> {
  const programs = await Workbench.create('kill', { proxySeed: seed });
  try {
    await body(new KillBench(programs));
  } finally {
    await programs.dispose();
  }
}
