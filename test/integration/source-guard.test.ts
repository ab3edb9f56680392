import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { FolderBench } from '../support/folder-bench.ts';
import { canMount, mountBind, mountTmpfs } from '../support/mounted.ts';
import { ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory } from '../support/source-tree.ts';

function setUp(name: string, options: ConstructorParameters<typeof FolderBench>[2] = {}) {
  const directory = createTemporaryDirectory(name);
  const root = path.join(directory.path, 'root');
  fs.mkdirSync(root);
  const bench = () => new FolderBench(directory.path, root, options);
  return { directory, root, bench, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

function fill(root: string): void {
  fs.chmodSync(root, 0o755);
  fs.mkdirSync(path.join(root, 'a', 'b'), { recursive: true });
  for (const name of ['x', 'a/y', 'a/b/z']) fs.writeFileSync(path.join(root, name), name);
}

function livePaths(bench: FolderBench): string[] {
  const replayed = new ReplayedFeed();
  replayed.follow(bench.feed);
  return [...replayed.states.keys()].sort();
}

const everything = ['', 'a/b/z', 'a/y', 'x'];
const stopped: unknown = expect.objectContaining({ code: 'SOURCE_STOPPED' });

it('stops when the root is missing, records nothing, and goes on by itself when it is back', () => {
  using setup = setUp('guard');
  fill(setup.root);
  const bench = setup.bench();
  bench.scan();
  const before = bench.indexer.index.sequence;
  fs.renameSync(setup.root, `${setup.root}.away`);
  expect(() => bench.scan()).toThrowError(stopped);
  expect(bench.condition).toMatchObject({
    state: 'stopped',
    stateReason: `${setup.root} is missing`,
    watching: 'off',
  });
  bench.pass(3_600_000);
  expect(bench.indexer.index.sequence).toBe(before);
  expect(() => bench.indexer.accept()).toThrowError(stopped);
  fs.renameSync(`${setup.root}.away`, setup.root);
  fs.writeFileSync(path.join(setup.root, 'new'), 'new');
  bench.pass(15_000);
  expect(bench.condition).toMatchObject({ state: 'idle', watching: 'ok' });
  expect(livePaths(bench)).toEqual(['', 'a/b/z', 'a/y', 'new', 'x']);
  bench.close();
});

it('notices a missing root within a minute, without any scan being asked for', () => {
  using setup = setUp('guard');
  fill(setup.root);
  const bench = setup.bench();
  bench.scan();
  fs.rmSync(setup.root, { recursive: true });
  bench.pass(60_000);
  expect(bench.condition.state).toBe('stopped');
  expect(livePaths(bench)).toEqual(everything);
  bench.close();
});

it('stops when the source is suddenly empty, until it is accepted; also across a restart', () => {
  using setup = setUp('guard', { ignore: ['lost+found/'] });
  fill(setup.root);
  let bench = setup.bench();
  bench.scan();
  for (const name of fs.readdirSync(setup.root)) fs.rmSync(path.join(setup.root, name), { recursive: true });
  fs.mkdirSync(path.join(setup.root, 'lost+found'));
  expect(() => bench.scan()).toThrowError(stopped);
  bench.close();
  bench = setup.bench();
  bench.run();
  expect(bench.condition.state).toBe('stopped');
  expect(livePaths(bench)).toEqual(everything);
  bench.indexer.accept();
  bench.close();
  bench = setup.bench();
  bench.run();
  expect(bench.condition.state).toBe('idle');
  expect(livePaths(bench)).toEqual(['']);
  fs.writeFileSync(path.join(setup.root, 'again'), '');
  bench.scan();
  fs.rmSync(path.join(setup.root, 'again'));
  expect(() => bench.scan()).toThrowError(stopped);
  bench.close();
});

it('stops when the configuration names another root, until it is accepted', () => {
  using setup = setUp('guard');
  fill(setup.root);
  const first = setup.bench();
  first.scan();
  first.close();
  const other = path.join(setup.directory.path, 'other');
  fs.mkdirSync(other);
  fs.writeFileSync(path.join(other, 'o'), 'o');
  const bench = new FolderBench(setup.directory.path, other);
  bench.run();
  expect(bench.condition.state).toBe('stopped');
  bench.indexer.accept();
  bench.run();
  expect(livePaths(bench)).toEqual(['', 'o']);
  bench.close();
});

it('follows a root that is a symbolic link, and keeps its mode, not that of the link', () => {
  using setup = setUp('guard');
  fill(setup.root);
  fs.chmodSync(setup.root, 0o750);
  const link = path.join(setup.directory.path, 'link');
  fs.symlinkSync('root', link);
  const bench = new FolderBench(setup.directory.path, link);
  bench.scan();
  expect(livePaths(bench)).toContain('a/b/z');
  expect(bench.indexer.index.get('' as never)?.state).toMatchObject({ kind: 'directory', mode: 0o750 });
  fs.rmSync(link);
  expect(() => bench.scan()).toThrowError(stopped);
  bench.close();
});

it.skipIf(process.getuid?.() !== 0)('stops when the root cannot be read', () => {
  using setup = setUp('guard');
  fill(setup.root);
  const bench = setup.bench();
  bench.scan();
  fs.chmodSync(setup.root, 0);
  fs.chmodSync(setup.directory.path, 0o755);
  try {
    process.seteuid?.(65_534);
    expect(() => bench.scan()).toThrowError(stopped);
  } finally {
    process.seteuid?.(0);
  }
  expect(bench.condition.stateReason).toContain('EACCES');
  expect(livePaths(bench)).toEqual(everything);
  bench.close();
});

/** A file system in a file; reads behind what `truncate` leaves of the file fail as those of a broken disk do. */
function makeDisk(directory: string, root: string) {
  const image = path.join(directory, 'disk');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, 8 * 1024 * 1024);
  const made = spawnSync('mkfs.ext4', ['-q', '-b', '1024', image]);
  const mount = () => spawnSync('mount', ['-o', 'loop', image, root]).status === 0;
  const unmount = () => spawnSync('umount', [root]).status === 0;
  return made.status === 0 && mount() ? { image, mount, unmount, [Symbol.dispose]: unmount } : null;
}

it.skipIf(!canMount)('stops when the disk of the root is broken (EIO)', (context) => {
  using setup = setUp('guard');
  using disk = makeDisk(setup.directory.path, setup.root);
  if (disk === null) {
    context.skip('no loop devices here');
    return;
  }
  fill(setup.root);
  const bench = setup.bench();
  bench.scan();
  const before = livePaths(bench);
  disk.unmount();
  disk.mount();
  fs.truncateSync(disk.image, 16 * 1024);
  expect(() => bench.scan()).toThrowError(stopped);
  expect(bench.condition.stateReason).toMatch(/cannot be read \(EIO\)$/);
  expect(livePaths(bench)).toEqual(before);
  expect(() => bench.indexer.accept()).toThrowError(stopped);
  bench.close();
});

describe.skipIf(!canMount)('with real mounts', () => {
  it('stops when the mount is gone, though the directory behind it has files, and goes on when it is back', () => {
    using setup = setUp('guard');
    fs.writeFileSync(path.join(setup.root, 'behind the mount'), '');
    using content = createTemporaryDirectory('content');
    {
      using mount = mountTmpfs('media-server:/export', setup.root);
      fill(setup.root);
      const bench = setup.bench();
      bench.scan();
      expect(livePaths(bench)).toEqual(everything);
      mount.unmount();
      expect(() => bench.scan()).toThrowError(stopped);
      expect(bench.condition.stateReason).toContain('media-server:/export');
      expect(livePaths(bench)).toEqual(everything);
      using other = mountTmpfs('another-server:/export', setup.root);
      fill(setup.root);
      bench.pass(15_000);
      expect(bench.condition.state).toBe('stopped');
      other.unmount();
      using back = mountTmpfs('media-server:/export', setup.root);
      fill(setup.root);
      fs.writeFileSync(path.join(setup.root, 'added'), '');
      bench.pass(15_000);
      expect(bench.condition.state).toBe('idle');
      expect(livePaths(bench)).toEqual(['', 'a/b/z', 'a/y', 'added', 'x']);
      bench.close();
      back.unmount();
    }
    expect(fs.readdirSync(content.path)).toEqual([]);
  });

  it('records no deletion of a scan during which the source vanished', () => {
    using setup = setUp('guard', { stepsPerSlice: 2 });
    using mount = mountTmpfs('one', setup.root);
    fill(setup.root);
    const many = Array.from({ length: 100 }, (_, number) => `a/many-${number}`);
    for (const name of many) fs.writeFileSync(path.join(setup.root, name), name);
    const bench = setup.bench();
    bench.scan();
    fs.rmSync(path.join(setup.root, 'x'));
    let error: Error | null = null;
    bench.indexer.requestScan({
      resolve: () => {},
      reject: (reason) => {
        error = reason;
      },
    });
    // The listing is under way, nothing is committed yet.
    for (let slices = 0; slices < 4; slices += 1) bench.step();
    using cover = mountTmpfs('two', setup.root);
    bench.run();
    expect(error).toEqual(stopped);
    expect(livePaths(bench)).toEqual([...everything, ...many].sort());
    bench.close();
    cover.unmount();
    mount.unmount();
  });

  it('stops when a mount below the root is gone', () => {
    using setup = setUp('guard');
    fill(setup.root);
    fs.mkdirSync(path.join(setup.root, 'nested'));
    using nested = mountTmpfs('nested', path.join(setup.root, 'nested'));
    fs.writeFileSync(path.join(setup.root, 'nested', 'n'), 'n');
    const bench = setup.bench();
    bench.scan();
    expect(livePaths(bench)).toContain('nested/n');
    nested.unmount();
    expect(() => bench.scan()).toThrowError(stopped);
    expect(livePaths(bench)).toContain('nested/n');
    bench.indexer.accept();
    bench.run();
    expect(livePaths(bench)).not.toContain('nested/n');
    bench.close();
  });

  it('stops when a bind mount is gone and leaves an empty directory of the same disk', () => {
    using setup = setUp('guard');
    using content = createTemporaryDirectory('content');
    fill(content.path);
    const bench = setup.bench();
    using mount = mountBind(content.path, setup.root);
    bench.scan();
    mount.unmount();
    expect(() => bench.scan()).toThrowError(stopped);
    expect(livePaths(bench)).toEqual(everything);
    using again = mountBind(content.path, setup.root);
    bench.pass(15_000);
    expect(bench.condition.state).toBe('idle');
    bench.close();
    again.unmount();
  });
});
