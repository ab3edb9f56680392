import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { awaitFileClock } from '../support/file-clock.ts';
import { FolderBench } from '../support/folder-bench.ts';
import { compareWithTree, ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory, describeTree } from '../support/source-tree.ts';

// a name that sorts right behind all that is below the first one
const names = ['a', 'a\u0001', 'b'];
const place = fc
  .array(fc.constantFrom(...names), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('/'));
const deeds = [
  'write',
  'write',
  'write',
  'touch back',
  'replace',
  'other directory',
  'remove',
  'rename',
  'exchange',
  'mode',
  'link',
  'hard link',
  'special',
  'event',
] as const;
type Deed = (typeof deeds)[number];
type Step =
  | { do: Deed; at: string; to: string }
  | { do: 'scan' }
  | { do: 'slices'; count: number; end: 'go on' | 'crash' };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom(...deeds), at: place, to: place }) },
  { weight: 4, arbitrary: fc.constant({ do: 'scan' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('slices' as const),
      count: fc.integer({ min: 1, max: 12 }),
      end: fc.constantFrom('go on' as const, 'crash' as const),
    }),
  },
);

class World {
  readonly #home: string;
  readonly #root: string;
  readonly #fifo: string;
  #bench: FolderBench;

  constructor(directory: string, fifo: string) {
    this.#fifo = fifo;
    this.#home = path.join(directory, 'home');
    this.#root = path.join(directory, 'root');
    fs.mkdirSync(this.#home);
    // the first directories: most steps need them
    for (const first of names) fs.mkdirSync(path.join(this.#root, first, 'a'), { recursive: true });
    fs.writeFileSync(path.join(this.#root, 'keep'), 'so that the source is never empty');
    this.#bench = new FolderBench(this.#home, this.#root, { stepsPerSlice: 4 });
  }

  take(step: Step): void {
    if (step.do === 'scan') this.scan();
    else if (step.do === 'slices') this.#work(step.count, step.end === 'crash');
    else if (step.do === 'event') this.#tell(path.join(this.#root, step.at));
    else {
      const to = step.do === 'special' ? this.#fifo : path.join(this.#root, step.to);
      change(step.do, path.join(this.#root, step.at), to);
    }
  }

  scan(): void {
    const report = this.#bench.scan();
    const replayed = new ReplayedFeed();
    replayed.follow(this.#bench.feed);
    expect(compareWithTree(replayed, describeTree(this.#root))).toEqual([]);
    expect(this.#bench.feed.folder().complete_through).toBe(replayed.through);
    expect(report).toMatchObject({ unreadable: 0, skippedSpecial: specials(this.#root) });
  }

  close(): void {
    this.#bench.close();
  }

  /** A part of a scan. */
  #work(slices: number, crash: boolean): void {
    this.#bench.indexer.requestScan({ resolve: () => {}, reject: () => {} });
    for (let done = 0; done < slices; done += 1) this.#bench.step();
    if (crash) {
      this.#bench.close();
      this.#bench = new FolderBench(this.#home, this.#root, { stepsPerSlice: 4 });
    }
    awaitFileClock(this.#home);
  }

  #tell(at: string): void {
    const directories = new Map([[path.dirname(at), [path.basename(at)]]]);
    this.#bench.watcher.listener({ type: 'changed', directories });
  }
}

/** Does nothing where it cannot be done as things are. */
function change(deed: Exclude<Deed, 'event'>, at: string, to: string): void {
  try {
    fs.mkdirSync(path.dirname(at), { recursive: true });
    changeIn(deed, at, to);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}

function changeIn(deed: Exclude<Deed, 'event'>, at: string, to: string): void {
  const beside = `${at}.new`;
  switch (deed) {
    case 'write':
      fs.writeFileSync(at, to);
      return;
    case 'touch back': {
      const { atime, mtime, size } = fs.statSync(at);
      if (fs.lstatSync(at).isFile()) fs.writeFileSync(at, 'y'.repeat(size));
      fs.utimesSync(at, atime, mtime);
      return;
    }
    case 'replace':
      fs.writeFileSync(beside, to);
      fs.renameSync(beside, at);
      return;
    case 'other directory':
      fs.mkdirSync(path.join(beside, 'a'), { recursive: true });
      fs.writeFileSync(path.join(beside, 'a', 'b'), to);
      fs.renameSync(at, `${at}.old`);
      fs.renameSync(beside, at);
      return;
    case 'remove':
      fs.rmSync(at, { recursive: true });
      return;
    case 'rename':
      fs.renameSync(at, to);
      return;
    case 'exchange':
      fs.renameSync(at, beside);
      fs.renameSync(to, at);
      fs.renameSync(beside, to);
      return;
    case 'mode':
      fs.chmodSync(at, fs.statSync(at).mode ^ 0o050);
      return;
    case 'link':
      fs.renameSync(at, beside);
      fs.symlinkSync(beside, at);
      return;
    case 'hard link':
      fs.linkSync(at, to);
      return;
    case 'special':
      fs.linkSync(to, at);
  }
}

/** Links are not followed. */
function specials(root: string): number {
  let found = 0;
  for (const entry of fs.readdirSync(root, { withFileTypes: true })) {
    if (entry.isDirectory()) found += specials(path.join(root, entry.name));
    else if (entry.isFIFO()) found += 1;
  }
  return found;
}

it('finds in every later scan exactly what is there, whatever happened to directories that were quiet', () => {
  using beside = createTemporaryDirectory('rescan-fifo');
  const fifo = path.join(beside.path, 'fifo');
  execFileSync('mkfifo', [fifo]);
  // with both ends open, so that what writes to it does not wait
  const ends = fs.openSync(fifo, 'r+');
  fc.assert(
    fc.property(fc.array(step, { minLength: 8, maxLength: 30, size: 'max' }), (steps) => {
      using directory = createTemporaryDirectory('rescan');
      const world = new World(directory.path, fifo);
      try {
        world.scan();
        for (const each of steps) world.take(each);
        // the second finds those quiet that the first compared
        world.scan();
        world.scan();
      } finally {
        world.close();
      }
    }),
    { numRuns: 100 },
  );
  fs.closeSync(ends);
});
