import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PathsSource } from '../../agent/source/paths-source.ts';
import { awaitFileClock } from '../support/file-clock.ts';
import { takeEntries } from '../support/source-entries.ts';

let root: string;

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-paths-'));
});

afterEach(() => {
  fs.rmSync(root, { recursive: true, force: true });
});

/** Writes a file below the root and gives its path. */
function write(name: string, content: string | Buffer = name, mode = 0o644): string {
  const file = path.join(root, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
  fs.chmodSync(file, mode);
  return file;
}

type Run = { files: string[]; skipped: [string, string][] } | { error: string };

/**
 * Takes a path so many times in a process of its own, for which strace lets reads of one file fail with EIO. `when`:
 * which reads, as strace counts them.
 */
function takenWithDiskErrors(target: string, bad: string, when: string, times: number): Run[] {
  const script = path.join(root, 'take.mjs');
  const module = new URL('../../agent/source/paths-source.ts', import.meta.url).href;
  fs.writeFileSync(
    script,
    `import { PathsSource } from ${JSON.stringify(module)};
     const source = new PathsSource({ paths: [process.argv[2]] });
     const runs = [];
     for (let run = 0; run < ${times}; run++) {
       try {
         const files = [];
         for await (const entry of source.entries(new AbortController().signal)) {
           if (entry.content === null) continue;
           for await (const piece of entry.content) if (piece.length === 0) break;
           files.push(entry.path.split('/').at(-1));
         }
         const { skipped } = await source.describe();
         runs.push({ files, skipped: skipped.map((one) => [one.path, one.reason]) });
       } catch (error) {
         runs.push({ error: error.message });
       }
     }
     console.log(JSON.stringify(runs));`,
  );
  const inject = ['-P', bad, '-e', 'trace=pread64', '-e', `inject=pread64:error=EIO:when=${when}`];
  const printed = execFileSync(
    'strace',
    ['-f', '-qq', '-o', '/dev/null', ...inject, process.execPath, script, target],
    // strace counts for each thread
    { env: { ...process.env, UV_THREADPOOL_SIZE: '1' } },
  );
  return JSON.parse(printed.toString()) as Run[];
}

const entryName = (name = '') => path.join(root, name).slice(1);

describe('files and trees as a source', () => {
  it('gives files, directories and links with modes, owners and times', async () => {
    write('etc/nginx/site.conf', 'server {}\n', 0o640);
    write('etc/nginx/run.sh', '#!/bin/sh\n', 0o4755);
    write('etc/empty', '');
    fs.symlinkSync('../nowhere/at all', path.join(root, 'etc/nginx/link'));
    fs.mkdirSync(path.join(root, 'etc/void'), { mode: 0o700 });
    fs.utimesSync(path.join(root, 'etc/empty'), 1_700_000_000, 1_700_000_000.5);
    const source = new PathsSource({ paths: [path.join(root, 'etc')] });
    const entries = await takeEntries(source);
    expect(
      entries.map((entry) => [entry.path, entry.kind, entry.mode, entry.content?.toString() ?? null]),
    ).toEqual([
      [entryName('etc'), 'directory', 0o755, null],
      [entryName('etc/empty'), 'file', 0o644, ''],
      [entryName('etc/nginx'), 'directory', 0o755, null],
      [entryName('etc/nginx/link'), 'symlink', 0o777, null],
      [entryName('etc/nginx/run.sh'), 'file', 0o4755, '#!/bin/sh\n'],
      [entryName('etc/nginx/site.conf'), 'file', 0o640, 'server {}\n'],
      [entryName('etc/void'), 'directory', 0o700, null],
    ]);
    expect(entries[3]?.target?.toString()).toBe('../nowhere/at all');
    expect(entries[1]).toMatchObject({
      mtimeNs: 1_700_000_000_500_000_000n,
      uid: process.getuid?.(),
      size: 0,
    });
    expect(await source.describe()).toEqual({
      kind: 'paths',
      files: 3,
      directories: 3,
      symlinks: 1,
      bytes: 20,
      specialFiles: 0,
      skippedFiles: 0,
      skipped: [],
    });
  });

  it('takes single files, follows a link that is itself a path, and takes no path twice', async () => {
    const env = write('secrets/.env.production', 'SECRET_KEY_BASE=1\n', 0o600);
    fs.symlinkSync('secrets/.env.production', path.join(root, 'env'));
    write('tree/inner/file');
    const paths = [env, path.join(root, 'env'), path.join(root, 'tree/inner'), path.join(root, 'tree'), env];
    const entries = await takeEntries(new PathsSource({ paths }));
    expect(entries.map((entry) => entry.path)).toEqual([
      entryName('env'),
      entryName('secrets/.env.production'),
      entryName('tree'),
      entryName('tree/inner'),
      entryName('tree/inner/file'),
    ]);
    expect(entries[0]).toMatchObject({
      kind: 'file',
      mode: 0o600,
      content: Buffer.from('SECRET_KEY_BASE=1\n'),
    });
  });

  it('keeps names that are not UTF-8', async () => {
    fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x61, 0xff, 0x0a])]), 'x');
    write('ü');
    const entries = await takeEntries(new PathsSource({ paths: [root] }));
    expect(
      entries.slice(1).map((entry) => Buffer.from(entry.path, 'latin1').subarray(entryName().length + 1)),
    ).toEqual([Buffer.from([0x61, 0xff, 0x0a]), Buffer.from('ü')]);
  });

  it('skips, counts and names what it cannot read, and takes the rest', async () => {
    write('a');
    write('z');
    const server = net.createServer().listen(path.join(root, 'm.sock'));
    await new Promise((resolve) => server.once('listening', resolve));
    write('locked/inside', 'secret', 0o000);
    fs.chmodSync(path.join(root, 'locked'), 0o755);
    fs.chmodSync(root, 0o755);
    const source = new PathsSource({ paths: [root] });
    // Root may read everything: read as somebody else.
    const asRoot = process.geteuid?.() === 0;
    if (asRoot) process.seteuid?.(65_534);
    try {
      const entries = await takeEntries(source);
      expect(
        entries.filter((entry) => entry.kind === 'file').map((entry) => path.basename(entry.path)),
      ).toEqual(['a', 'z']);
    } finally {
      if (asRoot) process.seteuid?.(0);
      server.close();
    }
    expect(await source.describe()).toMatchObject({
      files: 2,
      specialFiles: 1,
      skippedFiles: 1,
      skipped: [{ path: entryName('locked/inside'), reason: 'EACCES' }],
    });
  });

  it('fails by a disk error half-way through a file, then takes the rest, and that file when it can be read again', () => {
    const bad = write('etc/bad', Buffer.alloc(6 * 1024 * 1024, 'bad'));
    write('etc/good');
    // reads of that file fail in the first run and when it is tried out in the second: 6 reads of 1 MiB each
    const runs = takenWithDiskErrors(path.join(root, 'etc'), bad, '3..4', 4);
    expect(runs).toEqual([
      { error: `${bad} cannot be read: EIO` },
      { files: ['good'], skipped: [[bad.slice(1), 'cannot be read to its end']] },
      { files: ['bad', 'good'], skipped: [] },
      { files: ['bad', 'good'], skipped: [] },
    ]);
  });

  it('never goes on without one of its own paths, however often the disk fails', () => {
    const bad = write('.env.production', Buffer.alloc(6 * 1024 * 1024, 'bad'));
    const failed = { error: `${bad} cannot be read: EIO` };
    expect(takenWithDiskErrors(bad, bad, '3+', 3)).toEqual([failed, failed, failed]);
  });

  it('fails when one of its own paths is missing, cannot be read, or is no file', async () => {
    const there = write('there');
    await expect(takeEntries(new PathsSource({ paths: [there, path.join(root, 'gone')] }))).rejects.toThrow(
      /gone cannot be read: ENOENT/,
    );
    await expect(new PathsSource({ paths: [path.join(root, 'gone')] }).fingerprint()).rejects.toThrow(
      /ENOENT/,
    );
    await expect(takeEntries(new PathsSource({ paths: ['/dev/null'] }))).rejects.toThrow(
      /\/dev\/null cannot be read: it is not a file/,
    );
    expect(() => new PathsSource({ paths: ['etc'] })).toThrow(/not absolute/);
    expect(() => new PathsSource({ paths: [] })).toThrow(/no path/);
  });

  it('refuses trees that are too large', async () => {
    for (let at = 0; at < 12; at++) write(`f${at}`);
    await expect(takeEntries(new PathsSource({ paths: [root], entriesMax: 12 }))).rejects.toThrow(
      /more than 12 files/,
    );
    expect(await takeEntries(new PathsSource({ paths: [root], entriesMax: 13 }))).toHaveLength(13);
  });

  it('leaves out what is ignored, written just so', async () => {
    write('keep.conf');
    write('cache/big');
    write('x.log');
    write('X.LOG');
    const entries = await takeEntries(new PathsSource({ paths: [root], ignored: ['*.log', 'cache/'] }));
    expect(entries.map((entry) => path.basename(entry.path)).slice(1)).toEqual(['X.LOG', 'keep.conf']);
  });

  it('has a fingerprint that changes with content, mode, names and links only', async () => {
    const file = write('etc/a', 'one');
    fs.symlinkSync('a', path.join(root, 'etc/l'));
    const source = new PathsSource({ paths: [path.join(root, 'etc')] });
    const seen = [await source.fingerprint()];
    fs.readFileSync(file);
    expect(await source.fingerprint()).toBe(seen[0]);
    const changes = [
      () => fs.writeFileSync(file, 'two'),
      () => fs.chmodSync(file, 0o600),
      () => void write('etc/b'),
      () => fs.renameSync(path.join(root, 'etc/b'), path.join(root, 'etc/c')),
      () => fs.rmSync(path.join(root, 'etc/l')),
      () => fs.symlinkSync('b', path.join(root, 'etc/l')),
      () => fs.utimesSync(file, 1_700_000_000, 1_700_000_000),
      // Content changed, size and mtime put back: the change time tells.
      () => {
        fs.writeFileSync(file, 'owt');
        fs.utimesSync(file, 1_700_000_000, 1_700_000_000);
      },
    ];
    for (const change of changes) {
      awaitFileClock(root);
      change();
      const print = await source.fingerprint();
      expect(seen).not.toContain(print);
      seen.push(print);
    }
  });

  it('takes large files in pieces, and files that change while they are read with what was read', async () => {
    const size = 20 * 1024 * 1024 + 7;
    const file = write('large', Buffer.alloc(size, 'mastokeep'));
    const source = new PathsSource({ paths: [root] });
    let bytes = 0;
    let largest = 0;
    for await (const entry of source.entries(new AbortController().signal)) {
      for await (const piece of entry.content ?? []) {
        if (bytes === 0) fs.appendFileSync(file, 'grown');
        bytes += piece.length;
        largest = Math.max(largest, piece.length);
      }
    }
    expect(bytes).toBe(size + 5);
    expect(largest).toBeLessThanOrEqual(1024 * 1024);
    expect(await source.describe()).toMatchObject({ files: 1, bytes: size + 5 });
  });

  it('takes all of a small file that becomes a large one while it is read', async () => {
    const file = write('growing', 'small');
    const { readSync } = fs;
    vi.spyOn(fs, 'readSync').mockImplementationOnce((...args) => {
      fs.appendFileSync(file, Buffer.alloc(3 * 1024 * 1024, 'mastokeep'));
      return readSync(...args);
    });
    const [entry] = await takeEntries(new PathsSource({ paths: [file] }));
    expect(entry?.content?.equals(fs.readFileSync(file))).toBe(true);
    vi.restoreAllMocks();
  });

  it('is not upset by files that vanish between listing and reading', async () => {
    write('d/a');
    const doomed = write('d/b');
    write('d/c');
    const names: string[] = [];
    for await (const entry of new PathsSource({ paths: [root] }).entries(new AbortController().signal)) {
      if (entry.path.endsWith('/d/a')) fs.rmSync(doomed);
      for await (const piece of entry.content ?? []) names.push(piece.toString());
    }
    expect(names).toEqual(['d/a', 'd/c']);
  });

  it('takes thousands of files, and can be cancelled', async () => {
    for (let directory = 0; directory < 30; directory++) {
      fs.mkdirSync(path.join(root, `d${directory}`));
      for (let file = 0; file < 100; file++)
        fs.writeFileSync(path.join(root, `d${directory}/${file}`), `${directory} ${file}`);
    }
    const source = new PathsSource({ paths: [root] });
    expect((await takeEntries(source)).length).toBe(3031);
    const abort = new AbortController();
    const cancelled = async () => {
      let count = 0;
      for await (const entry of source.entries(abort.signal)) {
        if (++count === 50) abort.abort();
        for await (const piece of entry.content ?? []) expect(piece.length).toBeGreaterThan(0);
      }
    };
    await expect(cancelled()).rejects.toThrow(/cancelled/);
  });
});
