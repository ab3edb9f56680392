import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { createIgnoreRules } from '../../agent/ignore-rules.ts';
import type { DirectoryNote } from '../../agent/index/directory-table.ts';
import type { PathChange } from '../../agent/index/folder-index.ts';
import { ContentReader } from '../../agent/watch/content-reader.ts';
import { scanDirectory } from '../../agent/watch/directory-scan.ts';
import type { ScanSink } from '../../agent/watch/scan-sink.ts';
import { FolderBench } from '../support/folder-bench.ts';
import { canMount, mountBind, mountRamfs } from '../support/mounted.ts';
import { compareWithTree, ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory, describeTree } from '../support/source-tree.ts';

type Options = ConstructorParameters<typeof FolderBench>[2];

const asNobody = <Result>(work: () => Result): Result => {
  try {
    process.seteuid?.(65_534);
    return work();
  } finally {
    process.seteuid?.(0);
  }
};

/** A tree of four directories below each of `a`, `b` and a name that sorts right behind all that is below `a`, scanned. */
class Setup {
  readonly #directory = createTemporaryDirectory('full-rescan');
  readonly root = path.join(this.#directory.path, 'root');
  bench: FolderBench;

  constructor() {
    for (const top of ['a', 'a\u0001', 'b']) {
      for (const name of ['1', '2']) {
        fs.mkdirSync(this.at(`${top}/${name}/in`), { recursive: true });
        fs.writeFileSync(this.at(`${top}/${name}/in/file`), name);
      }
    }
    this.bench = this.#open();
    this.bench.scan();
  }

  at(name: string): string {
    return path.join(this.root, name);
  }

  /** A full scan; gives the directories that it compared instead of taking them for quiet, and checks what it found. */
  compared(): string[] {
    const { database } = this.bench;
    database.exec(`
      CREATE TEMP TABLE IF NOT EXISTS compared (path TEXT);
      DELETE FROM compared;
      CREATE TEMP TRIGGER IF NOT EXISTS comparing AFTER INSERT ON directories
      BEGIN INSERT INTO compared VALUES (NEW.path); END;
    `);
    const { skippedSpecial } = this.bench.scan();
    const entries = fs.readdirSync(this.root, { recursive: true, withFileTypes: true });
    expect(skippedSpecial).toBe(entries.filter((entry) => entry.isFIFO()).length);
    const replayed = new ReplayedFeed();
    replayed.follow(this.bench.feed);
    expect(compareWithTree(replayed, describeTree(this.root))).toEqual([]);
    expect(this.#keys('directories')).toEqual(['', ...this.#directories()].sort());
    return this.#keys('compared');
  }

  /** Compares all below a directory for a sink of which only some is of interest. */
  scanBelow(directory: string, sink: Partial<ScanSink>): void {
    const fd = fs.openSync(this.at(directory), 'r');
    const stat = fs.fstatSync(fd, { bigint: true });
    const whole: ScanSink = {
      index: this.bench.indexer.index,
      rules: createIgnoreRules([]),
      reader: new ContentReader(),
      isNetwork: () => false,
      nowMs: () => Date.now() + 60_000,
      sliceIsOver: () => false,
      doubts: () => 0,
      foundByLooks: () => 0,
      note: () => {},
      beforeDirectory: () => {},
      change: () => {},
      unsettled: () => {},
      lookAgain: () => {},
      unreadable: () => {},
      special: () => {},
      listed: () => {},
      ...sink,
    };
    const open = { path: directory as RelativePath, fd, stat, parentStat: null };
    for (const _ of scanDirectory(whole, open, 'all'));
    fs.closeSync(fd);
  }

  /** The program begins anew, over the same index. */
  restart(options: Options = {}): void {
    this.bench.close();
    this.bench = this.#open(options);
  }

  [Symbol.dispose](): void {
    this.bench.close();
    this.#directory[Symbol.dispose]();
  }

  #keys(table: string): string[] {
    const keys = this.bench.database.prepare<[], Buffer>(`SELECT CAST(path AS BLOB) FROM ${table}`).pluck();
    return keys
      .all()
      .map((key) => key.toString('latin1').replaceAll('\0', '/'))
      .sort();
  }

  #directories(): string[] {
    return [...describeTree(this.root)]
      .filter(([, description]) => description.startsWith('directory'))
      .map(([name]) => name);
  }

  #open(options: Options = {}): FolderBench {
    return new FolderBench(this.#directory.path, this.root, options);
  }
}

it.each<[string, (at: (name: string) => string) => void, string[]]>([
  ['nothing', () => {}, []],
  ['a new file', (at) => fs.writeFileSync(at('a/1/new'), ''), ['a/1']],
  ['a new directory', (at) => fs.mkdirSync(at('a/3/in'), { recursive: true }), ['a', 'a/3', 'a/3/in']],
  ['a file that grew', (at) => fs.appendFileSync(at('a/1/in/file'), 'x'), ['a/1/in']],
  [
    'content of the same size under the same time',
    (at) => {
      const { atime, mtime } = fs.statSync(at('b/2/in/file'));
      fs.writeFileSync(at('b/2/in/file'), 'x');
      fs.utimesSync(at('b/2/in/file'), atime, mtime);
    },
    ['b/2/in'],
  ],
  ['the mode of a file', (at) => fs.chmodSync(at('a/1/in/file'), 0o600), ['a/1/in']],
  ['the mode of a directory', (at) => fs.chmodSync(at('a'), 0o700), ['a']],
  ['a directory that went', (at) => fs.rmSync(at('a/1'), { recursive: true }), ['a']],
  [
    // its own times are others after a move
    'a directory that was moved',
    (at) => fs.renameSync(at('a/1'), at('b/3')),
    ['a', 'b', 'b/3', 'b/3/in'],
  ],
  [
    'a directory that is a link to where it was moved',
    (at) => {
      fs.renameSync(at('a'), `${at('')}/../away`);
      fs.symlinkSync('../away', at('a'));
    },
    [''],
  ],
  [
    'a file where a directory was',
    (at) => {
      fs.rmSync(at('a'), { recursive: true });
      fs.writeFileSync(at('a'), '');
    },
    [''],
  ],
])('of a quiet tree compares only where something changed: %s', (_, change, compared) => {
  using setup = new Setup();
  change((name) => setup.at(name));
  expect(setup.compared()).toEqual(compared);
  // once more where a record was committed after the comparison: that of a directory in it
  setup.compared();
  setup.restart();
  expect(setup.compared()).toEqual([]);
});

it('compares a directory again until it was quiet at a comparison', () => {
  using setup = new Setup();
  const times = (name: string) => setup.bench.indexer.index.directories.get(name as RelativePath)?.times;
  setup.bench.aged = false;
  fs.mkdirSync(setup.at('young'));
  fs.writeFileSync(setup.at('young/file'), '');
  expect(setup.compared()).toEqual(['', 'young']);
  expect(times('young')).toBeNull();
  expect(setup.compared()).toEqual(['', 'young']);
  setup.bench.aged = true;
  expect(setup.compared()).toEqual(['', 'young']);
  expect(times('young')).toMatchObject({ ino: fs.statSync(setup.at('young'), { bigint: true }).ino });
  expect(setup.compared()).toEqual([]);
});

it('always compares what has a special file or more than 1000 entries in it', () => {
  using setup = new Setup();
  execFileSync('mkfifo', [setup.at('a/fifo')]);
  for (let at = 0; at < 999; at += 1) fs.writeFileSync(setup.at(`b/f${at}`), '');
  // with 1 and 2
  expect(setup.compared()).toEqual(['a', 'b']);
  expect(setup.compared()).toEqual(['a', 'b']);
  fs.rmSync(setup.at('a/fifo'));
  fs.rmSync(setup.at('b/f998'));
  expect(setup.compared()).toEqual(['a', 'b']);
  expect(setup.compared()).toEqual([]);
});

it('takes the times from a directory as soon as a look has found a change in it', () => {
  using setup = new Setup();
  const change = (name: string) => {
    const listed = new Map([[setup.at(path.dirname(name)), [path.basename(name)]]]);
    setup.bench.watcher.listener({ type: 'changed', directories: listed });
    setup.bench.pass(1000);
  };
  fs.writeFileSync(setup.at('a/1/in/stays'), '');
  setup.bench.scan();
  fs.rmSync(setup.at('a/1/in/file'));
  change('a/1/in/file');
  expect(setup.bench.indexer.index.get('a/1/in/file' as RelativePath)).toBeNull();
  expect(setup.bench.indexer.index.directories.get('a/1/in' as RelativePath)?.times).toBeNull();
  expect(setup.compared()).toEqual(['a/1/in']);
});

it('announces a dirty link or directory again, though nothing of its directory changed', () => {
  using setup = new Setup();
  fs.symlinkSync('nowhere', setup.at('a/1/link'));
  fs.mkdirSync(setup.at('a/2/empty'));
  setup.bench.scan();
  for (const name of ['a/1/link', 'a/2/empty']) setup.bench.indexer.markDirty(name as RelativePath);
  expect(setup.bench.scan()).toMatchObject({ changed: 2 });
  expect(setup.bench.scan()).toMatchObject({ changed: 0 });
});

it('compares everything again under other rules', () => {
  using setup = new Setup();
  const files = () => setup.bench.scan().files;
  setup.restart({ ignore: ['1/'] });
  expect(files()).toBe(3);
  setup.restart();
  expect(files()).toBe(6);
});

it.skipIf(!canMount)('goes into what was mounted over a quiet directory, and back', () => {
  using setup = new Setup();
  using beside = createTemporaryDirectory('mounted');
  fs.mkdirSync(path.join(beside.path, 'in'));
  fs.writeFileSync(path.join(beside.path, 'in/other'), '');
  using mounted = mountBind(beside.path, setup.at('a/1'));
  setup.compared();
  mounted.unmount();
  setup.bench.indexer.accept();
  setup.compared();
  expect(setup.compared()).toEqual([]);
});

it('takes over an index of before directories were kept, and announces nothing anew', () => {
  using setup = new Setup();
  const { indexId, sequence } = setup.bench.indexer.index;
  setup.bench.database.exec(
    'DROP TABLE directories; ALTER TABLE folders DROP COLUMN directory_scope; PRAGMA user_version = 1',
  );
  setup.restart();
  expect(setup.compared()).toContain('a/1/in');
  expect(setup.compared()).toEqual([]);
  expect(setup.bench.indexer.index).toMatchObject({ indexId, sequence });
});

it.skipIf(!canMount)('keeps no times where a file system may not change those of a directory', () => {
  using setup = new Setup();
  fs.mkdirSync(setup.at('a/mounted'));
  using _ = mountRamfs(setup.at('a/mounted'));
  setup.bench.scan();
  const kept = setup.bench.database.prepare('SELECT count(*) AS rows FROM directories').get();
  expect(kept).toEqual({ rows: 0 });
});

it('compares what is new once, though records are committed meanwhile', () => {
  using setup = new Setup();
  setup.restart({ scanEntriesPerSecond: 5 });
  const added = ['0', '0/in', '0/in/1', '0/in/2', '1', '1/in', '1/in/1'];
  for (const name of added) {
    fs.mkdirSync(setup.at(name));
    fs.writeFileSync(setup.at(`${name}/file`), '');
  }
  // one that would be compared again at once
  execFileSync('mkfifo', [setup.at('0/in/fifo')]);
  expect(setup.compared()).toEqual(['', ...added]);
});

it('finds what changed at the end of a way that is longer than a page', () => {
  using setup = new Setup();
  const deep = `b/${Array.from({ length: 150 }, () => 'd').join('/')}`;
  fs.mkdirSync(setup.at(deep), { recursive: true });
  fs.writeFileSync(setup.at(`${deep}/file`), '');
  setup.compared();
  expect(setup.compared()).toEqual([]);
  fs.appendFileSync(setup.at(`${deep}/file`), 'x');
  expect(setup.compared()).toEqual([deep]);
});

it.skipIf(process.getuid?.() !== 0)(
  'says every time that a directory is closed, whether it was known or not',
  () => {
    using setup = new Setup();
    fs.chmodSync(path.dirname(setup.root), 0o755);
    fs.mkdirSync(setup.at('a/closed'), 0o000);
    fs.chmodSync(setup.at('b/1'), 0o000);
    for (const _ of [1, 2]) expect(asNobody(() => setup.bench.scan())).toMatchObject({ unreadable: 2 });
    for (const name of ['a/closed', 'b/1']) fs.chmodSync(setup.at(name), 0o755);
    expect(setup.compared()).toEqual(['a', 'a/closed', 'b/1']);
  },
);

it('keeps no times of a directory in which something changed while the scan was below it', () => {
  using setup = new Setup();
  const notes: DirectoryNote[] = [];
  setup.scanBelow('a', {
    foundByLooks: () => notes.length,
    note(note) {
      if (note.path === 'a/2') fs.writeFileSync(setup.at('a/new'), '');
      notes.push(note);
    },
  });
  const untimed = notes.filter((note) => note.type === 'compared' && note.times === null);
  expect(untimed.map(({ path: name }) => name)).toEqual(['a']);
  expect(notes).toHaveLength(5);
});

it('asks the index about a directory that was not in it, when a look has found something meanwhile', () => {
  using setup = new Setup();
  for (const name of ['n/in/1', 'n/in/2']) fs.mkdirSync(setup.at(name), { recursive: true });
  const link = (name: string): PathChange => ({
    path: name as RelativePath,
    state: { kind: 'symlink', target: Buffer.from('gone'), mtimeNs: 0n, uid: 0, gid: 0 },
    ctimeNs: 0n,
    ino: 0n,
    chunks: null,
  });
  let found = 0;
  const changes: string[] = [];
  setup.scanBelow('n', {
    foundByLooks: () => found,
    note() {
      if (found === 0) setup.bench.indexer.index.commit([link('n/in/1/gone'), link('n/in/2/gone')]);
      found = 2;
    },
    change: ({ path: name, state }) => changes.push(`${name.slice(-4)} ${state.kind}`),
  });
  // of the one that was compared after the look
  expect(changes.filter((change) => change.startsWith('gone'))).toEqual(['gone deleted']);
});

it('watches after a start what changed last, though nothing was compared', () => {
  using setup = new Setup();
  fs.writeFileSync(setup.at('b/1/in/newest'), '');
  setup.bench.scan();
  fs.appendFileSync(setup.at('a/2/in/file'), 'x');
  setup.bench.scan();
  setup.restart({ hotDirectoriesMax: 4 });
  expect(setup.compared()).toEqual([]);
  const newest = ['', '/a', '/a/2', '/a/2/in'].map((name) => setup.root + name);
  expect([...setup.bench.watcher.watched].sort()).toEqual(newest);
});

it('forgets a folder with its directories', () => {
  using setup = new Setup();
  setup.bench.indexer.index.remove();
  expect(setup.bench.database.prepare('SELECT count(*) AS n FROM directories').get()).toEqual({ n: 0 });
});
