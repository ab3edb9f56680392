import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { ChokidarWatcher } from '../../agent/watch/chokidar-watcher.ts';
import type { WatchEvent } from '../../agent/watch/directory-watcher.ts';
import { FolderBench } from '../support/folder-bench.ts';
import { canMount, mountTmpfs } from '../support/mounted.ts';
import { ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory } from '../support/source-tree.ts';

/** Writes until the clock of the file system has moved on from `other`. */
function writeAfter(other: string, file: string): void {
  const before = fs.statSync(other, { bigint: true }).ctimeNs;
  do fs.writeFileSync(file, '');
  while (fs.statSync(file, { bigint: true }).ctimeNs <= before);
}

function setUp(options: ConstructorParameters<typeof FolderBench>[2] = {}) {
  const directory = createTemporaryDirectory('watch');
  const root = path.join(directory.path, 'root');
  fs.mkdirSync(root);
  for (let number = 0; number < 10; number += 1) {
    fs.mkdirSync(path.join(root, `d${number}`));
    fs.writeFileSync(path.join(root, `d${number}`, 'f'), '');
  }
  const bench = new FolderBench(directory.path, root, options);
  const live = () => {
    const replayed = new ReplayedFeed();
    replayed.follow(bench.feed);
    return [...replayed.states.keys()];
  };
  return {
    root,
    bench,
    live,
    [Symbol.dispose]: () => {
      bench.close();
      directory[Symbol.dispose]();
    },
  };
}

it('watches after the first full scan, newest directories first, never more than allowed', () => {
  using setup = setUp({ watchLimit: 4 });
  writeAfter(path.join(setup.root, 'd9', 'f'), path.join(setup.root, 'd7', 'new'));
  setup.bench.scan();
  const { watched } = setup.bench.watcher;
  expect(watched.size).toBe(4);
  expect(watched.has(setup.root)).toBe(true);
  expect(watched.has(path.join(setup.root, 'd7'))).toBe(true);
});

it('looks at a directory once its watch stands, so that nothing falls between listing and watching', () => {
  using setup = setUp();
  const { bench, root } = setup;
  bench.scan();
  fs.mkdirSync(path.join(root, 'fresh'));
  fs.writeFileSync(path.join(root, 'fresh', 'one'), '');
  // The event of the new directory is dealt with; its watch stands only after another file has come.
  bench.watcher.listener({ type: 'changed', directories: new Map([[root, ['fresh']]]) });
  while (bench.step());
  expect(bench.watcher.watched.has(path.join(root, 'fresh'))).toBe(true);
  fs.writeFileSync(path.join(root, 'fresh', 'two'), '');
  bench.run();
  expect(setup.live()).toContain('fresh/two');
});

it('is degraded while the kernel refuses watches, says why, and tries again after the next full scan', () => {
  using setup = setUp();
  const { bench } = setup;
  bench.watcher.limit = 5;
  bench.scan();
  expect(bench.condition).toMatchObject({ watching: 'degraded' });
  expect(bench.condition.reason).toContain('the system allows 5 watches');
  expect(bench.watcher.watched.size).toBe(5);
  expect(bench.watcher.watched.has(setup.root)).toBe(true);
  bench.watcher.limit = 1000;
  bench.scan();
  expect(bench.condition).toMatchObject({ watching: 'ok', reason: null });
  expect(bench.watcher.watched.size).toBe(11);
});

it('looks at everything hot when events may have been lost', () => {
  using setup = setUp();
  const { bench, root } = setup;
  bench.scan();
  fs.writeFileSync(path.join(root, 'd3', 'silent'), '');
  bench.run();
  expect(setup.live()).not.toContain('d3/silent');
  bench.watcher.listener({ type: 'overflow' });
  bench.run();
  expect(setup.live()).toContain('d3/silent');
  expect(bench.condition.watching).toBe('degraded');
  bench.scan();
  expect(bench.condition.watching).toBe('ok');
});

it('is degraded when its source was mounted anew, and chooses and watches its directories again', () => {
  using setup = setUp();
  const { bench, root } = setup;
  bench.scan();
  const { watched } = bench.watcher;
  // A directory of that name somewhere else says nothing.
  bench.watcher.listener({ type: 'ended', directories: [path.join(root, 'd3')] });
  bench.run();
  expect(bench.condition.watching).toBe('ok');
  bench.watcher.listener({ type: 'ended', directories: [root] });
  bench.run();
  expect(bench.condition.watching).toBe('degraded');
  bench.watcher.made.length = 0;
  bench.pass(60_000);
  expect(bench.condition).toMatchObject({ watching: 'ok', reason: null });
  expect(new Set(bench.watcher.made)).toEqual(watched);
  expect(watched.size).toBe(11);
});

it('is degraded while hot directories have names that cannot be watched, and looks at them every minute', () => {
  using setup = setUp();
  const { bench, root } = setup;
  const odd = [Buffer.from('back\\slash'), Buffer.from([0xff, 0xfe])];
  const inRoot = (name: Buffer, file: string) =>
    Buffer.concat([Buffer.from(`${root}/`), name, Buffer.from(file)]);
  for (const name of odd) {
    fs.mkdirSync(inRoot(name, ''));
    fs.writeFileSync(inRoot(name, '/one'), '');
  }
  bench.scan();
  expect(bench.condition.watching).toBe('degraded');
  expect(bench.condition.reason).toContain('the names of 2 directories cannot be watched');
  expect(bench.watcher.watched.size).toBe(11);
  for (const name of odd) fs.writeFileSync(inRoot(name, '/two'), '');
  bench.pass(60_000);
  expect(setup.live()).toEqual(expect.arrayContaining(['back\\slash/two', '\xff\xfe/two']));
  for (const name of odd) fs.rmSync(inRoot(name, ''), { recursive: true });
  bench.pass(60_000);
  expect(bench.condition).toMatchObject({ watching: 'ok', reason: null });
});

it('finds everything by the scans when the watcher is gone', () => {
  using setup = setUp();
  const { bench, root } = setup;
  bench.scan();
  bench.watcher.listener({ type: 'failed', reason: 'the watching thread ended' });
  fs.writeFileSync(path.join(root, 'd3', 'silent'), '');
  bench.pass(60_000);
  expect(setup.live()).toContain('d3/silent');
  expect(bench.condition).toMatchObject({ watching: 'off', reason: 'the watching thread ended' });
});

it('keeps the hourly scan and the look at hot directories every minute', () => {
  using setup = setUp({ hotDirectoriesMax: 2, watchLimit: 0 });
  const { bench, root } = setup;
  writeAfter(path.join(root, 'd9', 'f'), path.join(root, 'd9', 'new'));
  bench.scan();
  fs.writeFileSync(path.join(root, 'd9', 'hot'), '');
  fs.writeFileSync(path.join(root, 'd0', 'cold'), '');
  bench.pass(60_000);
  expect(setup.live()).toContain('d9/hot');
  expect(setup.live()).not.toContain('d0/cold');
  bench.pass(3_600_000);
  expect(setup.live()).toContain('d0/cold');
});

it('suspects a lost event when more come at once than half of what the kernel keeps', async () => {
  using directory = createTemporaryDirectory('burst');
  const events: WatchEvent[] = [];
  let heard = () => {};
  const watcher = new ChokidarWatcher((event) => {
    events.push(event);
    heard();
  }, 50);
  const hears = (type: WatchEvent['type']) =>
    new Promise<void>((resolve) => {
      heard = () => {
        if (events.some((event) => event.type === type)) resolve();
      };
      heard();
    });
  watcher.update([], [directory.path]);
  await hears('watching');
  fs.writeFileSync(path.join(directory.path, 'single'), '');
  await hears('changed');
  expect(events.some((event) => event.type === 'overflow')).toBe(false);
  for (let number = 0; number < 100; number += 1)
    fs.writeFileSync(path.join(directory.path, `f${number}`), '');
  await hears('overflow');
  await watcher.close();
});

it('hears of every name that the kernel knows, whatever else is in the directory', async () => {
  using directory = createTemporaryDirectory('names');
  const names = [' two  ', 'new\nline', '[a]*{b,c}?', '!a', '🐘', 'x'.repeat(255), '.a.swp', 'a~'];
  const directories = names.map((name) => path.join(directory.path, name));
  for (const name of directories) {
    fs.mkdirSync(name);
    fs.writeFileSync(path.join(name, 'was there'), '');
  }
  const heard = new Map<string, Set<string>>();
  const { promise, resolve } = Promise.withResolvers<void>();
  const standing = Promise.withResolvers<void>();
  const watcher = new ChokidarWatcher((event) => {
    if (event.type === 'watching') standing.resolve();
    if (event.type !== 'changed') return;
    for (const [at, found] of event.directories) heard.set(at, new Set([...(heard.get(at) ?? []), ...found]));
    if (directories.every((at) => heard.get(at)?.has('new') ?? false)) resolve();
  });
  watcher.update([], directories);
  await standing.promise;
  for (const at of directories) {
    fs.appendFileSync(path.join(at, 'was there'), 'more');
    fs.writeFileSync(path.join(at, 'new'), '');
  }
  await promise;
  await watcher.close();
});

it.skipIf(!canMount)('says when what it watches was unmounted', async () => {
  using directory = createTemporaryDirectory('unmounted');
  using mount = mountTmpfs('media-server:/export', directory.path);
  const inside = path.join(directory.path, 'inside');
  fs.mkdirSync(inside);
  const ended = Promise.withResolvers<void>();
  const standing = Promise.withResolvers<void>();
  const watcher = new ChokidarWatcher((event) => {
    if (event.type === 'watching') standing.resolve();
    if (event.type === 'ended' && event.directories.includes(directory.path)) ended.resolve();
  });
  watcher.update([], [directory.path, inside]);
  await standing.promise;
  mount.unmount();
  await ended.promise;
  await watcher.close();
});

it('suspects the loss when the queue of the kernel really overflows', async () => {
  using directory = createTemporaryDirectory('overflow');
  const [busy, silent] = ['busy', 'silent'].map((name) => path.join(directory.path, name)) as [
    string,
    string,
  ];
  for (const name of [busy, silent]) fs.mkdirSync(name);
  const standing = Promise.withResolvers<void>();
  const overflow = Promise.withResolvers<void>();
  const heard = new Set<string>();
  const watcher = new ChokidarWatcher((event) => {
    if (event.type === 'watching') standing.resolve();
    if (event.type === 'overflow') overflow.resolve();
    if (event.type === 'changed') for (const at of event.directories.keys()) heard.add(at);
  });
  watcher.update([], [busy, silent]);
  await standing.promise;
  // Nothing is taken from the queue while this thread is kept, so what comes last does not fit any more.
  const kept = Number(fs.readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'));
  for (let number = 0; number < kept; number += 1) fs.writeFileSync(path.join(busy, `f${number}`), '');
  fs.writeFileSync(path.join(silent, 'lost'), '');
  await overflow.promise;
  fs.rmSync(path.join(busy, 'f0'));
  await new Promise<void>((resolve) => {
    const poll = () => (heard.has(busy) ? resolve() : setImmediate(poll));
    poll();
  });
  expect(heard.has(silent)).toBe(false);
  await watcher.close();
});
