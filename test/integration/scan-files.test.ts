import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { expect, it } from 'vitest';
import { parseTypedPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { openSourceFile } from '../../agent/index/source-opener.ts';
import { ContentReader } from '../../agent/watch/content-reader.ts';
import { recordFile } from '../../agent/watch/file-scan.ts';
import { createIgnoreRules } from '../../agent/ignore-rules.ts';
import type { ScanSink } from '../../agent/watch/scan-sink.ts';
import { awaitFileClock } from '../support/file-clock.ts';
import { FolderBench } from '../support/folder-bench.ts';
import { canMount, mountBind } from '../support/mounted.ts';
import { compareWithTree, ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory, describeTree } from '../support/source-tree.ts';

function setUp(options: ConstructorParameters<typeof FolderBench>[2] = {}) {
  const directory = createTemporaryDirectory('scan');
  const root = path.join(directory.path, 'root');
  fs.mkdirSync(root);
  fs.chmodSync(root, 0o755);
  const bench = new FolderBench(directory.path, root, options);
  const at = (name: string) => path.join(root, name);
  const replay = () => {
    const replayed = new ReplayedFeed();
    replayed.follow(bench.feed);
    return replayed;
  };
  return {
    root,
    bench,
    at,
    replay,
    [Symbol.dispose]: () => {
      bench.close();
      directory[Symbol.dispose]();
    },
  };
}

const asNobody = (work: () => void) => {
  try {
    process.seteuid?.(65_534);
    work();
  } finally {
    process.seteuid?.(0);
  }
};

it('records empty, sparse and large files, links and empty directories, and finds nothing new the second time', () => {
  using setup = setUp();
  const { bench, at } = setup;
  fs.writeFileSync(at('empty'), '');
  fs.writeFileSync(at('sparse'), '');
  fs.truncateSync(at('sparse'), 64 * 1024 * 1024);
  fs.writeFileSync(at('large'), Buffer.alloc(5_000_001, 'mastodon'));
  fs.mkdirSync(at('hollow'));
  fs.symlinkSync('../../nowhere', at('dangling'));
  fs.symlinkSync('/', at('to the root'));
  fs.linkSync(at('large'), at('hard link'));
  fs.mkdirSync(at('private'), 0o700);
  fs.writeFileSync(at('private/p'), 'p');
  expect(bench.scan()).toMatchObject({ files: 5, unreadable: 0, skippedSpecial: 0 });
  const replayed = setup.replay();
  expect(compareWithTree(replayed, describeTree(setup.root))).toEqual([]);
  expect([...replayed.states.keys()].sort()).toEqual([
    '',
    'dangling',
    'empty',
    'hard link',
    'hollow',
    'large',
    'private',
    'private/p',
    'sparse',
    'to the root',
  ]);
  expect(bench.scan()).toMatchObject({ changed: 0 });
  const large = replayed.states.get('large');
  if (large?.kind !== 'file') throw new Error('not a file');
  const chunks = bench.feed.chunkList(large.hash);
  expect(chunks?.reduce((sum, chunk) => sum + chunk.length, 0)).toBe(5_000_001);
});

it('goes down 700 directories, and reports what is deeper than a path may be', () => {
  using setup = setUp();
  let fd = fs.openSync(setup.root, 'r');
  for (let depth = 0; depth < 1600; depth += 1) {
    fs.mkdirSync(`/proc/self/fd/${fd}/d`);
    const next = fs.openSync(`/proc/self/fd/${fd}/d`, 'r');
    fs.closeSync(fd);
    fd = next;
    if (depth === 699) fs.writeFileSync(`/proc/self/fd/${fd}/deep`, 'deep');
  }
  fs.closeSync(fd);
  const report = setup.bench.scan();
  expect(report.unreadable).toBe(1);
  expect(setup.replay().states.has(`${'d/'.repeat(700)}deep`)).toBe(true);
  execFileSync('rm', ['-rf', setup.at('d')]);
});

it('reads files where the whole path is longer than PATH_MAX', () => {
  using directory = createTemporaryDirectory('long');
  const segment = 'x'.repeat(250);
  // The root alone has a path of about 2,300 bytes, what is below it 2,300 more.
  const root = path.join(directory.path, ...Array.from({ length: 9 }, () => segment));
  fs.mkdirSync(root, { recursive: true });
  let fd = fs.openSync(root, 'r');
  for (let depth = 0; depth < 9; depth += 1) {
    fs.mkdirSync(`/proc/self/fd/${fd}/${segment}`);
    const next = fs.openSync(`/proc/self/fd/${fd}/${segment}`, 'r');
    fs.closeSync(fd);
    fd = next;
  }
  const deep = `${`${segment}/`.repeat(9)}deep`;
  const bench = new FolderBench(directory.path, root);
  fs.writeFileSync(`/proc/self/fd/${fd}/deep`, 'deep');
  expect(bench.scan()).toMatchObject({ files: 1, unreadable: 0 });
  // Seen again by a look at the hot directory, and opened for sending.
  fs.writeFileSync(`/proc/self/fd/${fd}/deep`, 'deeper');
  fs.closeSync(fd);
  bench.pass(60_000);
  expect(bench.indexer.index.get(parseTypedPath(deep))?.state).toMatchObject({ size: 6 });
  const file = openSourceFile(root, parseTypedPath(deep));
  expect(file?.size).toBe(6);
  file?.close();
  bench.close();
  execFileSync('rm', ['-rf', path.join(root, segment)]);
});

it('skips and counts sockets and FIFOs, and waits on none', async () => {
  using setup = setUp();
  const { bench, at } = setup;
  execFileSync('mkfifo', [at('fifo')]);
  const server = net.createServer().listen(at('socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  fs.writeFileSync(at('file'), '');
  expect(bench.scan()).toMatchObject({ files: 1, skippedSpecial: 2 });
  expect(bench.condition.skippedSpecial).toBe(2);
  // A file that becomes a FIFO is gone.
  fs.rmSync(at('file'));
  execFileSync('mkfifo', [at('file')]);
  expect(bench.scan()).toMatchObject({ files: 0, skippedSpecial: 3 });
  await new Promise((resolve) => server.close(resolve));
});

it.skipIf(!canMount)('skips and counts devices, and reads none of them', () => {
  using setup = setUp();
  const { bench, at } = setup;
  fs.writeFileSync(at('zero'), '');
  bench.scan();
  fs.rmSync(at('zero'));
  // An endless file for whoever opens it.
  execFileSync('mknod', [at('zero'), 'c', '1', '5']);
  expect(bench.scan()).toMatchObject({ files: 0, skippedSpecial: 1, unreadable: 0 });
  expect(setup.replay().states.has('zero')).toBe(false);
});

it.skipIf(!canMount)('reports a file that the disk does not give back, and goes on with the rest', () => {
  using setup = setUp();
  const { bench, at } = setup;
  for (const name of ['a', 'broken', 'c']) fs.writeFileSync(at(name), name);
  bench.scan();
  // Reading the memory of a process where there is none fails with EIO.
  using disk = mountBind(`/proc/${process.pid}/mem`, at('broken'));
  fs.writeFileSync(at('c'), 'changed');
  expect(bench.scan()).toMatchObject({ unreadable: 1, files: 3 });
  expect(bench.condition.unreadablePaths).toEqual(['broken']);
  disk.unmount();
  // What was mounted on a single file counts as a mount below the root, too.
  expect(() => bench.scan()).toThrowError(expect.objectContaining({ code: 'SOURCE_STOPPED' }));
  bench.indexer.accept();
  expect(bench.scan()).toMatchObject({ unreadable: 0 });
  expect(compareWithTree(setup.replay(), describeTree(setup.root))).toEqual([]);
});

it.skipIf(process.getuid?.() !== 0)(
  'reports what cannot be read, goes on with the rest, and deletes nothing below it',
  () => {
    using setup = setUp();
    const { bench, at } = setup;
    fs.mkdirSync(at('closed/in'), { recursive: true });
    fs.mkdirSync(at('listed'));
    for (const name of ['closed/a', 'closed/in/b', 'listed/c', 'open', 'secret'])
      fs.writeFileSync(at(name), name);
    fs.chmodSync(path.dirname(setup.root), 0o755);
    bench.scan();
    const complete = bench.feed.folder().complete_through;
    fs.writeFileSync(at('secret'), 'changed');
    fs.writeFileSync(at('open'), 'changed');
    fs.writeFileSync(at('secret 2'), 'new');
    for (const name of ['secret', 'secret 2', 'closed']) fs.chmodSync(at(name), 0);
    // Its names can be listed, and nothing else be learned of them.
    fs.chmodSync(at('listed'), 0o444);
    asNobody(() => {
      expect(bench.scan()).toMatchObject({ unreadable: 4, files: 5 });
    });
    expect(bench.condition.unreadablePaths.sort()).toEqual(['closed', 'listed/c', 'secret', 'secret 2']);
    expect([...setup.replay().states.keys()].sort()).toEqual([
      '',
      'closed/a',
      'closed/in/b',
      'listed',
      'listed/c',
      'open',
      'secret',
    ]);
    // Not everything could be named, so the mark does not move.
    expect(bench.feed.folder().complete_through).toBe(complete);
    for (const name of ['secret', 'secret 2']) fs.chmodSync(at(name), 0o644);
    for (const name of ['closed', 'listed']) fs.chmodSync(at(name), 0o755);
    expect(bench.scan()).toMatchObject({ unreadable: 0, files: 6 });
    expect(compareWithTree(setup.replay(), describeTree(setup.root))).toEqual([]);
  },
);

it.skipIf(process.getuid?.() !== 0)('is not complete in a new index while something cannot be named', () => {
  using setup = setUp();
  const { bench, at } = setup;
  fs.mkdirSync(at('closed'));
  fs.writeFileSync(at('closed/a'), '');
  fs.writeFileSync(at('open'), '');
  fs.chmodSync(at('closed'), 0);
  fs.chmodSync(path.dirname(setup.root), 0o755);
  asNobody(() => bench.scan());
  expect(bench.feed.folder().complete_through).toBeNull();
  fs.chmodSync(at('closed'), 0o755);
  bench.scan();
  expect(bench.feed.folder().complete_through).toBe(bench.indexer.index.sequence);
});

it('notices a change that keeps size and mtime', () => {
  using setup = setUp();
  const { bench, at, replay } = setup;
  fs.writeFileSync(at('a'), 'one');
  fs.utimesSync(at('a'), 1_000_000, 1_000_000);
  bench.scan();
  const before = replay().states.get('a');
  fs.writeFileSync(at('a'), 'two');
  fs.utimesSync(at('a'), 1_000_000, 1_000_000);
  bench.scan();
  expect(replay().states.get('a')).not.toEqual(before);
});

it('waits until a file is still, and says so where that takes too long', () => {
  using setup = setUp({ settleWaitMsMax: 5000 });
  const { bench, at } = setup;
  bench.aged = false;
  fs.writeFileSync(at('growing'), 'x');
  fs.writeFileSync(at('still'), 'x');
  const reports: object[] = [];
  bench.indexer.requestScan({ resolve: (report) => reports.push(report), reject: () => {} });
  for (let round = 0; round < 60 && reports.length === 0; round += 1) {
    fs.appendFileSync(at('growing'), 'x');
    bench.pass(100);
  }
  expect(reports[0]).toMatchObject({ unsettled: 1, files: 1 });
  expect(bench.feed.folder().complete_through).toBeNull();
  bench.pass(400);
  expect(setup.replay().states.has('growing')).toBe(true);
});

it('does not record a file that changes while it is read', () => {
  using setup = setUp({ stepsPerSlice: 2 });
  const { bench, at } = setup;
  fs.writeFileSync(at('a'), Buffer.alloc(8 * 1024 * 1024, 'a'));
  bench.indexer.requestScan({ resolve: () => {}, reject: () => {} });
  // In the middle of the file: 8 pieces, about two in a slice.
  for (let slices = 0; slices < 3; slices += 1) bench.step();
  awaitFileClock(path.dirname(setup.root));
  const fd = fs.openSync(at('a'), 'r+');
  fs.writeSync(fd, 'changed', 0);
  fs.closeSync(fd);
  bench.scan();
  expect(compareWithTree(setup.replay(), describeTree(setup.root))).toEqual([]);
  // It was announced once, with its last content.
  expect(bench.indexer.index.get('a' as RelativePath)?.sequence).toBe(bench.indexer.index.sequence);
  expect(setup.replay().states.size).toBe(bench.indexer.index.sequence);
});

it('records no file that is another one by the time it is opened, or when it was read', () => {
  using setup = setUp();
  const { bench, root, at } = setup;
  fs.writeFileSync(at('a'), 'as it was listed');
  const listed = fs.lstatSync(at('a'), { bigint: true });
  fs.writeFileSync(at('a'), 'as it is opened');
  const told: string[] = [];
  const reader = new (class extends ContentReader {
    override *read(file: number, expectedBytes: number) {
      const content = yield* super.read(file, expectedBytes);
      told.push('read');
      // Somebody writes before the reading has ended.
      fs.appendFileSync(at('a'), ', and more');
      return content;
    }
  })();
  const sink: ScanSink = {
    index: bench.indexer.index,
    rules: createIgnoreRules([]),
    reader,
    isNetwork: () => false,
    nowMs: () => Date.now() + 60_000,
    sliceIsOver: () => false,
    doubts: () => 0,
    foundByLooks: () => 0,
    note: () => {},
    beforeDirectory: () => {},
    change: (change) => told.push(`change ${change.path}`),
    unsettled: (name) => told.push(`unsettled ${name}`),
    lookAgain: (directory) => told.push(`look again at "${directory}"`),
    unreadable: (name) => told.push(`unreadable ${name}`),
    special: (name) => told.push(`special ${name}`),
    listed: () => {},
  };
  const fd = fs.openSync(root, 'r');
  const record = (stat = listed) => {
    told.length = 0;
    const entry = { name: 'a', path: parseTypedPath('a'), row: null };
    for (const _ of recordFile(sink, fd, entry, stat));
    return told;
  };
  expect(record()).toEqual(['unsettled a']);
  expect(record(fs.lstatSync(at('a'), { bigint: true }))).toEqual(['read', 'unsettled a']);
  fs.rmSync(at('a'));
  expect(record()).toEqual(['look again at ""']);
  // Waiting for somebody who writes to it would stop everything.
  execFileSync('mkfifo', [at('a')]);
  expect(record()).toEqual(['look again at ""']);
  fs.rmSync(at('a'));
  fs.symlinkSync('/etc/passwd', at('a'));
  expect(record()).toEqual(['look again at ""']);
  fs.closeSync(fd);
});

it('announces deletions of what stands in the way before what takes its place', () => {
  using setup = setUp();
  const { bench, at } = setup;
  fs.mkdirSync(at('was directory'));
  fs.writeFileSync(at('was directory/inside'), '1');
  fs.writeFileSync(at('was file'), '2');
  bench.scan();
  const through = bench.indexer.index.sequence;
  fs.rmSync(at('was directory'), { recursive: true });
  fs.writeFileSync(at('was directory'), '3');
  fs.rmSync(at('was file'));
  fs.mkdirSync(at('was file'));
  fs.writeFileSync(at('was file/inside'), '4');
  bench.scan();
  const order =
    bench.feed.batchAfter(through)?.records.map(({ path, state }) => `${state.kind} ${path}`) ?? [];
  expect(order.indexOf('deleted was directory/inside')).toBeLessThan(order.indexOf('file was directory'));
  expect(order.indexOf('deleted was file')).toBeLessThan(order.indexOf('file was file/inside'));
  expect(order.length).toBe(4);
});

it('leaves out what is ignored, and deletes what becomes ignored', () => {
  using directory = createTemporaryDirectory('ignore');
  const root = path.join(directory.path, 'root');
  fs.mkdirSync(path.join(root, 'cache', 'deep'), { recursive: true });
  for (const name of ['cache/deep/c', 'a.tmp', 'a.jpg']) fs.writeFileSync(path.join(root, name), name);
  const first = new FolderBench(directory.path, root, { ignore: ['*.tmp'] });
  first.scan();
  expect(first.indexer.index.totals.files).toBe(2);
  first.close();
  const second = new FolderBench(directory.path, root, { ignore: ['/cache/', '*.tmp'] });
  second.scan();
  const replayed = new ReplayedFeed();
  replayed.follow(second.feed);
  expect([...replayed.states.keys()].sort()).toEqual(['', 'a.jpg']);
  second.close();
});

it('does not leave the tree by a directory that becomes a link while it is walked', () => {
  using setup = setUp({ stepsPerSlice: 2 });
  const { bench, at } = setup;
  using outside = createTemporaryDirectory('outside');
  fs.writeFileSync(path.join(outside.path, 'secret'), 'secret');
  for (const name of ['a', 'b', 'c', 'd']) {
    fs.mkdirSync(at(name));
    fs.writeFileSync(at(`${name}/f`), name);
  }
  bench.indexer.requestScan({ resolve: () => {}, reject: () => {} });
  for (let slices = 0; slices < 3; slices += 1) bench.step();
  for (const name of ['a', 'b', 'c', 'd']) {
    fs.renameSync(at(name), at(`${name}.moved`));
    fs.symlinkSync(outside.path, at(name));
  }
  bench.run();
  expect([...setup.replay().states.keys()].filter((name) => name.endsWith('secret'))).toEqual([]);
  bench.scan();
  expect(compareWithTree(setup.replay(), describeTree(setup.root))).toEqual([]);
});
