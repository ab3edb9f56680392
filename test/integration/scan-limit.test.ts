import fs from 'node:fs';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { AgentFolders } from '../../agent/agent-folders.ts';
import { parseAgentConfig } from '../../agent/config.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { homeAt } from '../../shared/io/home.ts';
import { FolderBench } from '../support/folder-bench.ts';
import { ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory } from '../support/source-tree.ts';

const directories = 20;
const filesInEach = 10;
const perSecond = 100;
/** By the clock of the bench. */
const startMs = 1000;

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
  // the root is found, and its record committed after half a second
  expect(bench.indexer.tick()).toBe(startMs + 500);
  bench.pass(500);
  // it has 20 entries: the next directory comes after 2.1 s, its eleven take 1.1 s more
  expect(bench.indexer.tick()).toBe(startMs + 2100);
  bench.pass(1600);
  expect(setup.files()).toBe(0);
  expect(bench.indexer.tick()).toBe(startMs + 2100 + 500);
  bench.pass(500);
  expect(setup.files()).toBe(filesInEach);
  expect(bench.indexer.tick()).toBe(startMs + 3200);
});

it('takes what the watcher tells at once, also in the middle of a slow scan', () => {
  using setup = setUp(perSecond);
  const { bench, root } = setup;
  bench.scan();
  bench.indexer.requestScan({ resolve: () => {}, reject: () => {} });
  bench.run();
  expect(bench.condition.state).toBe('scanning');
  const before = setup.files();
  const due = bench.indexer.tick();
  fs.writeFileSync(path.join(root, 'd19', 'new'), 'new');
  bench.watcher.listener({ type: 'changed', directories: new Map([[path.join(root, 'd19'), ['new']]]) });
  bench.run();
  expect(setup.files()).toBe(before + 1);
  expect(bench.indexer.tick()).toBe(due);
  expect(bench.condition.state).toBe('scanning');
});

it('goes as fast as it can where nothing else is said', () => {
  using setup = setUp(null);
  setup.bench.run();
  expect(setup.files()).toBe(directories * filesInEach);
});

it('is what the configuration of the agent says', async () => {
  using setup = setUp(null);
  const home = homeAt(path.dirname(setup.root), 'agent.yaml');
  const config = parseAgentConfig('scan: {entriesPerSecond: 250}', home.configFile);
  const fail = (error: Error): never => {
    throw error;
  };
  fs.rmSync(path.join(home.directory, 'index.db'));
  const folders = new AgentFolders({ home, config, logger: silentLogger, onFailure: fail });
  await folders.indexer.start([]);
  onTestFinished(async () => folders.indexer.stop());
  const startedAt = performance.now();
  await folders.add({ id: 'media', kind: 'mirror', path: setup.root, ignore: [] });
  await folders.scan('media');
  // 241 entries, and nobody waits for the last directory's; the first scan or the one that was asked for
  expect(performance.now() - startedAt).toBeGreaterThan(800);
});
