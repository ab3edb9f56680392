import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { FolderBench } from '../support/folder-bench.ts';
import { ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory } from '../support/source-tree.ts';

const directories = 20;
const filesInEach = 10;
const perSecond = 100;

function setUp(scanEntriesPerSecond: number | null) {
  const directory = createTemporaryDirectory('scan-limit');
  const root = path.join(directory.path, 'root');
  for (let number = 0; number < directories; number++) {
    fs.mkdirSync(path.join(root, `d${number}`), { recursive: true });
    for (let file = 0; file < filesInEach; file++)
      fs.writeFileSync(path.join(root, `d${number}`, `f${file}`), `${number} ${file}`);
  }
  const bench = new FolderBench(directory.path, root, { scanEntriesPerSecond, stepsPerSlice: 5 });
  return {
    root,
    bench,
    files: (): number => {
      const replayed = new ReplayedFeed();
      replayed.follow(bench.feed);
      return [...replayed.states.values()].filter(({ kind }) => kind === 'file').length;
    },
    [Symbol.dispose]: () => {
      bench.close();
      directory[Symbol.dispose]();
    },
  };
}

it('looks at no more entries a second than it is to, rests in between, and finds everything', () => {
  using setup = setUp(perSecond);
  const { bench } = setup;
  bench.run();
  for (let seconds = 0; bench.condition.state === 'scanning'; seconds += 0.1) {
    expect(setup.files()).toBeLessThanOrEqual(seconds * perSecond + 2 * filesInEach);
    // nothing to do at once, and a time at which to go on
    expect(bench.step()).toBe(false);
    bench.pass(100);
    expect(seconds).toBeLessThan(10);
  }
  expect(setup.files()).toBe(directories * filesInEach);
});

it('commits what it found while it rests, and is told of a time to go on', () => {
  using setup = setUp(10);
  const { bench } = setup;
  bench.run();
  bench.pass(3000);
  bench.pass(600);
  expect(bench.condition.state).toBe('scanning');
  expect(setup.files()).toBeGreaterThan(0);
  const due = bench.indexer.tick();
  expect(due).toBeLessThan(1000 + 3600 + 60_000);
  expect(Number.isFinite(due)).toBe(true);
});

it('takes what the watcher tells at once, also in the middle of a slow scan', () => {
  using setup = setUp(perSecond);
  const { bench, root } = setup;
  bench.scan();
  bench.indexer.requestScan({ resolve: () => {}, reject: () => {} });
  bench.run();
  expect(bench.condition.state).toBe('scanning');
  const before = setup.files();
  fs.writeFileSync(path.join(root, 'd19', 'new'), 'new');
  bench.watcher.listener({ type: 'changed', directories: new Map([[path.join(root, 'd19'), ['new']]]) });
  bench.run();
  expect(setup.files()).toBe(before + 1);
  expect(bench.condition.state).toBe('scanning');
});

it('goes as fast as it can where nothing else is said', () => {
  using setup = setUp(null);
  setup.bench.run();
  expect(setup.files()).toBe(directories * filesInEach);
});
