import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fsPath, type RelativePath } from '../../../shared/records/relative-path.ts';
import { type HistoryEntry, MemoryHistory } from '../../support/memory-history.ts';
import { makeOddFiles } from '../../support/odd-files.ts';
import { benchAgent, createBenchReceiver, restoreFrom } from '../../support/restore-bench.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { compareTrees, formatDifferences } from '../../support/tree-compare.ts';
import { until } from '../../support/until.ts';

const mib = 1024 * 1024;
const asRoot = process.getuid?.() === 0;
let bench: string;
let source: string;
let to: string;
let history: MemoryHistory;

beforeEach(() => {
  bench = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-restore-'));
  source = path.join(bench, 'source');
  to = path.join(bench, 'to');
  fs.mkdirSync(source);
  history = new MemoryHistory('media');
});
afterEach(() => {
  execFileSync('chmod', ['-R', 'u+rwx', bench]);
  fs.rmSync(bench, { recursive: true, force: true });
});

const write = (name: string, content: string | Buffer): string => {
  const file = path.join(source, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
  return file;
};
const target = (): string => path.join(to, 'media');
const expectSameTree = (): void => {
  const { differences } = compareTrees(source, target(), { owners: asRoot });
  expect(formatDifferences(differences)).toBe('');
};
/** The temporary names that an interrupted run leaves. */
const temporaries = (): string[] =>
  (fs.readdirSync(to, { recursive: true }) as string[]).filter((name) => name.includes('.mastokeep-restore'));

it('gives back odd names, modes, owners, nanoseconds, links and empty directories exactly', async () => {
  makeOddFiles(source);
  write('read-only/inner/file', 'content');
  fs.chmodSync(path.join(source, 'read-only/inner'), 0o555);
  fs.chmodSync(path.join(source, 'read-only'), 0o555);
  write('large', seededBytes('large', 5 * mib + 17));
  if (asRoot) {
    fs.chownSync(path.join(source, 'private'), 1234, 2345);
    fs.lchownSync(path.join(source, 'link'), 1234, 2345);
    fs.chownSync(path.join(source, 'read-only'), 33, 33);
    fs.chownSync(path.join(source, 'read-only/inner'), 33, 33);
  }
  history.putTree(1, source);
  const result = await restoreFrom(createBenchReceiver([history]), { to });
  expect(result.folders[0]).toMatchObject({ id: 'media', skipped: 0, failed: [] });
  expectSameTree();
  expect(temporaries()).toEqual([]);
});

it('leaves what is there already, puts its mode and time right, and fetches nothing again', async () => {
  makeOddFiles(source);
  write('large', seededBytes('large', 3 * mib));
  history.putTree(1, source);
  const first = await restoreFrom(createBenchReceiver([history]), { to });
  fs.chmodSync(path.join(target(), 'private'), 0o644);
  fs.utimesSync(path.join(target(), 'large'), 5, 5);
  history.contents.clear();
  const second = await restoreFrom(createBenchReceiver([history]), { to });
  expect(second.folders[0]).toMatchObject({
    files: 0,
    bytes: 0,
    skipped: first.folders[0]?.files,
    failed: [],
  });
  expectSameTree();
});

it('goes on over a new link when one is cut, however often, and ends with the same tree', async () => {
  for (let at = 0; at < 300; at += 1) write(`d${at % 20}/file-${at}`, seededBytes(`file ${at}`, 20_000 + at));
  write('large', seededBytes('large', 12 * mib));
  history.putTree(1, source);
  let messages = 0;
  const receiver = createBenchReceiver([history], {
    onMessage: (message, direction) => {
      messages += 1;
      return direction === 'second-to-first' && messages % 9 === 0 ? null : message;
    },
  });
  const result = await restoreFrom(receiver, { to });
  expect(result.folders[0]).toMatchObject({ files: 301, failed: [] });
  expect(receiver.links).toBeGreaterThan(3);
  expect(receiver.notes.length).toBe(receiver.links - 1);
  expectSameTree();
});

it('a run that is given up is continued by the next one, large files in their middle', async () => {
  for (let at = 0; at < 50; at += 1) write(`file-${at}`, seededBytes(`file ${at}`, 1000));
  write('large', seededBytes('large', 12 * mib));
  history.putTree(1, source);
  let received = 0;
  const broken = createBenchReceiver([history], {
    onMessage: (message, direction) => {
      if (direction === 'second-to-first') received += message.length;
      return received > 6 * mib ? null : message;
    },
  });
  await expect(restoreFrom(broken, { to, patienceMs: 100 })).rejects.toMatchObject({ code: 'LINK_TIMEOUT' });
  expect(temporaries().length).toBe(1);
  let again = 0;
  const receiver = createBenchReceiver([history], {
    onMessage: (message, direction) => {
      if (direction === 'second-to-first') again += message.length;
      return message;
    },
  });
  const result = await restoreFrom(receiver, { to });
  expect(result.folders[0]?.failed).toEqual([]);
  expect(again).toBeLessThan(9 * mib);
  expectSameTree();
  expect(temporaries()).toEqual([]);
});

it('restores the state before the changes', async () => {
  write('kept', 'same');
  write('changed', 'before');
  write('deleted/inner', 'gone');
  history.putTree(1000, source);
  const before = path.join(bench, 'before');
  execFileSync('cp', ['-a', source, before]);
  fs.rmSync(path.join(source, 'deleted'), { recursive: true });
  write('changed', 'after it');
  write('new', 'new');
  history.putTree(2000, source);
  const receiver = createBenchReceiver([history]);
  const old = await restoreFrom(receiver, { to, at: 1500 });
  expect(old.at).toBe(new Date(1500).toISOString());
  expect(formatDifferences(compareTrees(before, target()).differences)).toBe('');
  fs.rmSync(to, { recursive: true });
  await restoreFrom(receiver, { to });
  expectSameTree();
});

it('restores only what --path names, and the directories on the way with their modes', async () => {
  write('a/b/c/one', '1');
  write('a/b/two', '2');
  write('a/other', '3');
  write('x/one', '4');
  fs.chmodSync(path.join(source, 'a'), 0o700);
  history.putTree(1, source);
  const result = await restoreFrom(createBenchReceiver([history]), { to, paths: ['a/b/', 'x/*'] });
  expect(result.folders[0]).toMatchObject({ files: 3 });
  expect((fs.readdirSync(to, { recursive: true }) as string[]).sort()).toEqual([
    'media',
    'media/a',
    'media/a/b',
    'media/a/b/c',
    'media/a/b/c/one',
    'media/a/b/two',
    'media/x',
    'media/x/one',
  ]);
  expect(fs.statSync(path.join(target(), 'a')).mode & 0o7777).toBe(0o700);
});

it('restores only the folders that --folder names', async () => {
  write('a', 'a');
  history.putTree(1, source);
  const [emoji, fonts] = ['emoji', 'fonts'].map((id) => new MemoryHistory(id)) as [
    MemoryHistory,
    MemoryHistory,
  ];
  for (const other of [emoji, fonts]) other.putTree(1, source);
  const receiver = createBenchReceiver([emoji, fonts, history]);
  const result = await restoreFrom(receiver, { to, folders: ['media', 'emoji'] });
  expect(result.folders.map(({ id }) => id).sort()).toEqual(['emoji', 'media']);
  expect(fs.readdirSync(to).sort()).toEqual(['emoji', 'media']);
  await restoreFrom(receiver, { to });
  expect(fs.readdirSync(to).sort()).toEqual(['emoji', 'fonts', 'media']);
});

it('leaves a different file alone and says so', async () => {
  write('mine', 'theirs');
  write('other', 'other');
  history.putTree(1, source);
  fs.mkdirSync(target(), { recursive: true });
  fs.writeFileSync(path.join(target(), 'mine'), 'my own');
  const result = await restoreFrom(createBenchReceiver([history]), { to });
  expect(result.folders[0]).toMatchObject({ files: 1, failed: [{ path: 'mine', code: 'RESTORE_CONFLICT' }] });
  expect(fs.readFileSync(path.join(target(), 'mine'), 'utf8')).toBe('my own');
});

it('--in-place replaces what differs at the configured path and deletes nothing', async () => {
  write('changed', 'right');
  write('large', seededBytes('large', 4 * mib));
  history.putTree(1, source);
  const live = path.join(bench, 'live');
  fs.mkdirSync(live, { mode: 0o711 });
  fs.writeFileSync(path.join(live, 'changed'), 'wrong');
  fs.writeFileSync(path.join(live, 'extra'), 'extra');
  // The new content with something in front: all but the first chunks can be taken from it.
  fs.writeFileSync(
    path.join(live, 'large'),
    Buffer.concat([Buffer.from('inserted'), seededBytes('large', 4 * mib)]),
  );
  let received = 0;
  const receiver = createBenchReceiver([history], {
    onMessage: (message, direction) => {
      if (direction === 'second-to-first') received += message.length;
      return message;
    },
  });
  const result = await restoreFrom(receiver, { inPlace: true }, () => live);
  expect(result.folders[0]).toMatchObject({ target: live, files: 2, failed: [] });
  expect(fs.readFileSync(path.join(live, 'extra'), 'utf8')).toBe('extra');
  expect(received).toBeLessThan(2 * mib);
  const { differences } = compareTrees(source, live, { ignore: (name) => name === 'extra' });
  expect(formatDifferences(differences)).toBe('');
});

it('needs a place to restore to', async () => {
  write('a', 'a');
  history.putTree(1, source);
  await expect(restoreFrom(createBenchReceiver([history]), { inPlace: true })).rejects.toMatchObject({
    code: 'USAGE',
  });
});

it('lists with --dry-run and touches nothing', async () => {
  makeOddFiles(source);
  history.putTree(1, source);
  const result = await restoreFrom(createBenchReceiver([history]), { to, dryRun: true });
  expect(result).toMatchObject({ dryRun: true, agent: 'AGENT' });
  expect(result.folders[0]?.entries).toContainEqual({ path: 'sparse', kind: 'file', bytes: 3 * mib + 3 });
  expect(fs.existsSync(to)).toBe(false);
});

it('counts content that the receiver lost and restores the rest', async () => {
  write('lost', 'lost');
  write('lost large', seededBytes('lost', 2 * mib));
  write('kept', 'kept');
  history.putTree(1, source);
  for (const [key, content] of history.contents)
    if (content.toString() !== 'kept') history.contents.delete(key);
  const result = await restoreFrom(createBenchReceiver([history]), { to });
  expect(result.folders[0]?.files).toBe(1);
  expect(result.folders[0]?.failed.map(({ path: name, code }) => `${code} ${name}`).sort()).toEqual([
    'CONTENT_GONE lost',
    'CONTENT_GONE lost large',
  ]);
  expect(fs.readdirSync(target())).toEqual(['kept']);
});

it('removes what a run of another moment left unfinished', async () => {
  write('file', 'content');
  history.putTree(1, source);
  fs.mkdirSync(target(), { recursive: true });
  fs.writeFileSync(path.join(target(), `.mastokeep-restore.${'0'.repeat(32)}`), 'left over');
  await restoreFrom(createBenchReceiver([history]), { to });
  expectSameTree();
});

it('says that nothing matches, or that there is no such folder', async () => {
  write('a', 'a');
  history.putTree(1000, source);
  const receiver = createBenchReceiver([history]);
  await expect(restoreFrom(receiver, { to, paths: ['nothing'] })).rejects.toMatchObject({
    code: 'RESTORE_NOTHING_FOUND',
    message: expect.stringMatching(/^nothing matches in /) as string,
  });
  await expect(restoreFrom(receiver, { to, at: 1 })).rejects.toMatchObject({
    code: 'RESTORE_NOTHING_FOUND',
    message: 'nothing was held in the state of 1970-01-01T00:00:00Z',
    hint: expect.stringContaining('take a later moment') as string,
  });
  await expect(restoreFrom(receiver, { to, folders: ['other'] })).rejects.toMatchObject({
    code: 'FOLDER_UNKNOWN',
  });
  expect(fs.existsSync(to)).toBe(false);
});

it('gives up when the receiver stays away', async () => {
  const receiver = {
    nextChannel: (signal: AbortSignal) =>
      new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
  };
  await expect(restoreFrom(receiver, { to, patienceMs: 50 })).rejects.toMatchObject({ code: 'LINK_TIMEOUT' });
});

it('holds up expiry while it runs', async () => {
  write('a', 'a');
  history.putTree(1, source);
  let held = false;
  const receiver = createBenchReceiver([history], {
    onMessage: (message) => {
      held ||= receiver.leases.holds(benchAgent);
      return message;
    },
  });
  await restoreFrom(receiver, { to });
  expect(held).toBe(true);
  await until('expiry goes on', () => !receiver.leases.holds(benchAgent));
});

it('gives back any tree: odd bytes in names, modes, times and kinds', async () => {
  const name = fc
    .uint8Array({ minLength: 1, maxLength: 12 })
    .map((bytes) => Buffer.from(bytes).toString('latin1').replaceAll(/[\0/]/g, '_'))
    .filter((text) => text !== '.' && text !== '..');
  const mode = fc.integer({ min: 0, max: 0o7777 });
  const time = fc.bigInt({ min: -(10n ** 18n), max: 4n * 10n ** 18n });
  const leaf = fc.record({
    path: fc.array(name, { minLength: 1, maxLength: 3 }),
    kind: fc.constantFrom('file', 'symlink', 'directory'),
    size: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3000 }), fc.constant(mib), fc.constant(mib + 1)),
    mode,
    time,
  });
  let trial = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(leaf, { maxLength: 12 }), async (leaves) => {
      trial += 1;
      const tree = new MemoryHistory('media');
      const entries = new Map<string, HistoryEntry>();
      for (const [at, { path: names, kind, size, mode: bits, time: mtimeNs }] of leaves.entries()) {
        const where = names.join('/') as RelativePath;
        const others = [...entries.keys()];
        const clashes = others.some((other) => other === where || other.startsWith(`${where}/`));
        const below = others.some(
          (other) => where.startsWith(`${other}/`) && entries.get(other)?.state.kind !== 'directory',
        );
        if (clashes || below) continue;
        const content = seededBytes(`${trial} ${at}`, size);
        const hash = createHash('sha256').update(content).digest();
        if (kind === 'file') tree.contents.set(hash.toString('hex'), content);
        const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
        const states = {
          file: { kind: 'file', size, mtimeNs, mode: bits, ...owner, hash },
          symlink: { kind: 'symlink', target: Buffer.from(`target ${at}`), mtimeNs, ...owner },
          directory: { kind: 'directory', mode: bits, ...owner },
        } as const;
        entries.set(where, { path: where, state: states[kind] });
      }
      fc.pre(entries.size > 0);
      tree.put(1, [...entries.values()]);
      const place = path.join(bench, `trial-${trial}`);
      const receiver = createBenchReceiver([tree]);
      for (const again of [false, true]) {
        const result = await restoreFrom(receiver, { to: place, keepOwners: true });
        const leavesMade = [...entries.values()].filter(({ state }) => state.kind !== 'directory').length;
        expect(result.folders[0]).toMatchObject({ [again ? 'skipped' : 'files']: leavesMade, failed: [] });
        for (const { path: where, state } of entries.values()) {
          const stat = fs.lstatSync(fsPath(path.join(place, 'media'), where), { bigint: true });
          if (state.kind !== 'symlink') expect(Number(stat.mode & 0o7777n)).toBe(state.mode);
          if (state.kind !== 'directory') expect(stat.mtimeNs).toBe(state.mtimeNs);
        }
      }
      execFileSync('chmod', ['-R', 'u+rwx', place]);
      fs.rmSync(place, { recursive: true });
    }),
    { numRuns: 40 },
  );
});
