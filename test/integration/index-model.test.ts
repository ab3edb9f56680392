import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeRelativePath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import { awaitFileClock } from '../support/file-clock.ts';
import { FolderBench } from '../support/folder-bench.ts';
import { compareWithTree, ReplayedFeed } from '../support/replayed-feed.ts';
import { at, createTemporaryDirectory, describeTree } from '../support/source-tree.ts';

const names = ['a', 'b', 'a.b', 'a\x01', Buffer.from('💙').toString('latin1'), '\xff\xfe'];
const relative = fc
  .array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 })
  .map((segments) => segments.join('/') as RelativePath);

/** `pick` chooses among what is there at that moment. */
type Step =
  | { do: 'write'; path: RelativePath; content: string }
  | { do: 'directory' | 'symlink'; path: RelativePath }
  | { do: 'rename'; pick: number; to: RelativePath }
  | { do: 'remove' | 'replace' | 'dirty' | 'event'; pick: number }
  | { do: 'mode'; pick: number; mode: number }
  | { do: 'slices'; count: number }
  | { do: 'scan' | 'crash' | 'snapshot' | 'rollback' | 'renew' | 'hot' };

const pick = fc.nat(1000);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('write'), path: relative, content: fc.string({ maxLength: 4 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('directory', 'symlink'), path: relative }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('remove', 'replace', 'dirty', 'event', 'event'), pick }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rename'), pick, to: relative }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('mode'), pick, mode: fc.constantFrom(0o700, 0o755, 0o640) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('slices'), count: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('scan', 'hot') }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('scan', 'crash', 'snapshot', 'rollback', 'renew') }),
  },
);

/** Tree operations that cannot be done where things are as they are do nothing. */
function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}

class World {
  private readonly home: string;
  private readonly root: string;
  private bench: FolderBench;
  /** A receiver that never forgets, and all positions it was ever given with the time line they belong to. */
  private receiver = new ReplayedFeed();
  private receiverIndex = '';
  private given: FeedPosition[] = [];
  private snapshot: FeedPosition[] | null = null;
  private dirty = new Map<RelativePath, number>();

  constructor(directory: string) {
    this.home = path.join(directory, 'home');
    this.root = path.join(directory, 'root');
    fs.mkdirSync(this.home);
    fs.mkdirSync(this.root);
    fs.writeFileSync(path.join(this.root, 'keep'), 'so that the source is never empty');
    this.bench = new FolderBench(this.home, this.root, { stepsPerSlice: 3 });
  }

  take(step: Step): void {
    switch (step.do) {
      case 'write':
        attempt(() =>
          fs.mkdirSync(at(this.root, step.path.split('/').slice(0, -1).join('/')), { recursive: true }),
        );
        attempt(() => fs.writeFileSync(at(this.root, step.path), step.content));
        return;
      case 'directory':
        attempt(() => fs.mkdirSync(at(this.root, step.path)));
        return;
      case 'symlink':
        attempt(() => fs.symlinkSync('../elsewhere', at(this.root, step.path)));
        return;
      case 'remove':
        fs.rmSync(at(this.root, this.existing(step.pick)), { recursive: true, force: true });
        return;
      case 'replace': {
        const target = at(this.root, this.existing(step.pick));
        const wasDirectory = fs.lstatSync(target, { throwIfNoEntry: false })?.isDirectory() ?? false;
        fs.rmSync(target, { recursive: true, force: true });
        if (wasDirectory) fs.writeFileSync(target, 'in the way');
        else fs.mkdirSync(target);
        return;
      }
      case 'rename':
        attempt(() => fs.renameSync(at(this.root, this.existing(step.pick)), at(this.root, step.to)));
        return;
      case 'mode':
        attempt(() => fs.chmodSync(at(this.root, this.existing(step.pick)), step.mode));
        return;
      case 'dirty': {
        const dirty = this.existing(step.pick);
        this.bench.indexer.markDirty(dirty);
        const row = this.bench.indexer.index.get(dirty);
        if (row !== null) this.dirty.set(dirty, row.sequence);
        return;
      }
      case 'event': {
        const absolute = at(this.root, this.existing(step.pick)).toString('utf8');
        const changed = new Map([[path.dirname(absolute), [path.basename(absolute)]]]);
        this.bench.watcher.listener({ type: 'changed', directories: changed });
        return;
      }
      case 'slices':
        this.bench.indexer.requestScan({ resolve: () => {}, reject: () => {} });
        for (let slices = 0; slices < step.count; slices += 1) this.bench.step();
        awaitFileClock(this.home);
        return;
      case 'hot':
        this.bench.pass(60_000);
        return;
      case 'scan':
        this.scan();
        return;
      case 'crash':
        this.crash(() => {});
        return;
      case 'snapshot':
        this.bench.database.pragma('wal_checkpoint(TRUNCATE)');
        fs.copyFileSync(path.join(this.home, 'index.db'), path.join(this.home, 'snapshot.db'));
        this.snapshot = [...this.given];
        return;
      case 'rollback':
        if (this.snapshot === null) return;
        this.crash(() =>
          fs.copyFileSync(path.join(this.home, 'snapshot.db'), path.join(this.home, 'index.db')),
        );
        this.given = [...this.snapshot];
        this.dirty.clear();
        return;
      case 'renew':
        this.renew();
        this.given = [];
    }
  }

  /** A new index that is not complete, or, before the first full scan of a start has ended, the one that there was. */
  private renew(): void {
    const before = this.bench.feed.folder();
    this.bench.indexer.renew('test');
    const after = this.bench.feed.folder();
    if (after.index_id.equals(before.index_id)) expect(after).toEqual(before);
    else expect(after.complete_through).toBeNull();
  }

  scan(): void {
    this.bench.scan();
    const { feed } = this.bench;
    const indexId = feed.folder().index_id;
    // The receiver says where it is, and begins again where that is unknown.
    const position = {
      indexId: Buffer.from(this.receiverIndex, 'hex'),
      sequence: this.receiver.through,
      token: this.receiver.token ?? Buffer.alloc(32),
    };
    if (!feed.matches(position)) {
      if (this.receiver.through > 0 && indexId.toString('hex') === this.receiverIndex) {
        this.bench.indexer.renew('the receiver is elsewhere');
        this.given = [];
        this.bench.scan();
      }
      this.receiver = new ReplayedFeed();
      this.receiverIndex = feed.folder().index_id.toString('hex');
    }
    this.receiver.follow(feed, 2);
    if (this.receiver.token !== null) {
      this.given.push({
        indexId: feed.folder().index_id,
        sequence: this.receiver.through,
        token: this.receiver.token,
      });
    }
    const fresh = new ReplayedFeed();
    fresh.follow(feed);
    const tree = describeTree(this.root);
    expect(compareWithTree(fresh, tree)).toEqual([]);
    expect(compareWithTree(this.receiver, tree)).toEqual([]);
    expect(feed.folder().complete_through).toBe(fresh.through);
    for (const given of this.given) expect(feed.matches(given)).toBe(true);
    for (const [dirtyPath, sequence] of this.dirty) {
      const now = this.bench.indexer.index.get(dirtyPath);
      if (now !== null) expect(now.sequence).toBeGreaterThan(sequence);
    }
    this.dirty.clear();
  }

  close(): void {
    this.bench.close();
  }

  /** A path of the tree as it is now, never the file that keeps the source from being empty. */
  private existing(pick: number): RelativePath {
    const paths = [...describeTree(this.root).keys()].filter((name) => name !== 'keep');
    return (paths[pick % paths.length] ?? names[0]) as RelativePath;
  }

  private crash(replace: () => void): void {
    this.bench.close();
    for (const suffix of ['-wal', '-shm'])
      fs.rmSync(path.join(this.home, `index.db${suffix}`), { force: true });
    replace();
    this.bench = new FolderBench(this.home, this.root, { stepsPerSlice: 3 });
  }
}

/** Found by chance once: the directory `a` settles because it is empty, and is a file when it is looked at. */
const fileWhereAnEmptyDirectorySettled: Step[] = [
  { do: 'write', path: 'a/a/a' as RelativePath, content: '' },
  { do: 'scan' },
  { do: 'slices', count: 1 },
  { do: 'slices', count: 1 },
  { do: 'remove', pick: 0 },
  { do: 'remove', pick: 0 },
  { do: 'slices', count: 1 },
  { do: 'write', path: 'a' as RelativePath, content: '' },
  { do: 'dirty', pick: 0 },
];

it('names after every scan exactly what is in the tree, whatever happened to tree and database', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), (steps) => {
      using directory = createTemporaryDirectory('model');
      const world = new World(directory.path);
      try {
        for (const each of steps) world.take(each);
        world.scan();
      } finally {
        world.close();
      }
    }),
    { numRuns: 60, examples: [[fileWhereAnEmptyDirectorySettled]] },
  );
});

it('keeps names as bytes', () => {
  using directory = createTemporaryDirectory('names');
  const root = path.join(directory.path, 'root');
  fs.mkdirSync(root);
  const odd = [
    ' ',
    '\n',
    'x'.repeat(255),
    Buffer.from('💙 ü').toString('latin1'),
    '\xff\xfe\x80',
    '-rf',
    '\\',
    '"',
  ];
  for (const name of odd) fs.writeFileSync(at(root, name), name);
  const bench = new FolderBench(directory.path, root);
  bench.scan();
  const fresh = new ReplayedFeed();
  fresh.follow(bench.feed);
  const paths = [...fresh.states.keys()]
    .filter((name) => name !== '')
    .map((name) => encodeRelativePath(name as RelativePath));
  expect(paths.map((name) => name.toString('hex')).sort()).toEqual(
    odd.map((name) => Buffer.from(name, 'latin1').toString('hex')).sort(),
  );
  bench.close();
});

it('renews an index that was rolled back only when it has looked at everything, so that nothing of the past is announced', () => {
  using directory = createTemporaryDirectory('rolled-back');
  const root = path.join(directory.path, 'root');
  fs.mkdirSync(root);
  for (const name of ['kept', 'rewritten', 'deleted']) fs.writeFileSync(path.join(root, name), 'before');
  const snapshot = new FolderBench(directory.path, root);
  snapshot.scan();
  const old = snapshot.feed.folder().index_id;
  snapshot.close();
  fs.writeFileSync(path.join(root, 'rewritten'), 'after it');
  fs.rmSync(path.join(root, 'deleted'));
  const bench = new FolderBench(directory.path, root, { stepsPerSlice: 1 });
  // two receivers notice
  for (let asked = 0; asked < 2; asked++) bench.indexer.renew('a receiver knows of a later one');
  while (bench.feed.folder().index_id.equals(old) && bench.step());
  expect(bench.feed.folder().index_id).not.toEqual(old);
  const told = new ReplayedFeed();
  told.follow(bench.feed);
  expect(compareWithTree(told, describeTree(root))).toEqual([]);
  expect(bench.feed.folder().complete_through).toBe(told.through);
  const renewed = bench.feed.folder().index_id;
  bench.scan();
  expect(bench.feed.folder().index_id).toEqual(renewed);
  bench.close();
});
