import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { QuietDirectories } from '../../agent/watch/quiet-directories.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { FolderBench } from '../support/folder-bench.ts';
import { compareWithTree, ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory, describeTree } from '../support/source-tree.ts';

const names = ['a', 'b', 'ü'];
const place = fc
  .array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join('/'));
const action = fc.record({
  do: fc.constantFrom(
    'write',
    'write',
    'append',
    'overwrite',
    'remove',
    'rename',
    'mode',
    'replace',
    'minute',
  ),
  at: place,
  to: place,
});
type Action = typeof action extends fc.Arbitrary<infer Value> ? Value : never;

function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}

function act(root: string, action: Action): void {
  const [at, to] = [path.join(root, action.at), path.join(root, action.to)];
  attempt(() => {
    switch (action.do) {
      case 'write':
        fs.mkdirSync(path.dirname(at), { recursive: true });
        fs.writeFileSync(at, action.to);
        return;
      case 'append':
        fs.appendFileSync(at, 'x');
        return;
      case 'overwrite': {
        // Same size and same time: only the time of the inode's last change tells.
        const { atime, mtime, size } = fs.statSync(at);
        fs.writeFileSync(at, 'y'.repeat(size));
        fs.utimesSync(at, atime, mtime);
        return;
      }
      case 'remove':
        fs.rmSync(at, { recursive: true });
        return;
      case 'rename':
        fs.renameSync(at, to);
        return;
      case 'mode':
        fs.chmodSync(at, fs.statSync(at).isDirectory() ? 0o750 : 0o600);
        return;
      case 'replace':
        fs.rmSync(at, { recursive: true });
        fs.symlinkSync('elsewhere', at);
        return;
      case 'minute':
        return;
    }
  });
}

/** What stood there when the directory comes is in the index still. */
const fileBecomesDirectory: Action[] = [
  { do: 'replace', at: 'b', to: 'a' },
  { do: 'minute', at: 'a', to: 'a' },
  { do: 'remove', at: 'b', to: 'a' },
  { do: 'write', at: 'b/a', to: 'a' },
];

it('finds within a minute what changed in recent directories, whatever a glance at them says', () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 3, maxLength: 25 }), (actions) => {
      using directory = createTemporaryDirectory('recent');
      const root = path.join(directory.path, 'root');
      fs.mkdirSync(root);
      fs.writeFileSync(path.join(root, 'keep'), 'so that the source is never empty');
      for (const name of names) fs.mkdirSync(path.join(root, name));
      const bench = new FolderBench(directory.path, root, { watchLimit: 0 });
      try {
        bench.scan();
        for (const each of actions) {
          act(root, each);
          if (each.do === 'minute') bench.pass(60_000);
        }
        bench.pass(60_000);
        const replayed = new ReplayedFeed();
        replayed.follow(bench.feed);
        expect(compareWithTree(replayed, describeTree(root))).toEqual([]);
      } finally {
        bench.close();
      }
    }),
    { numRuns: 40, examples: [[fileBecomesDirectory]] },
  );
});

it('does far less in a minute in which nothing has changed than in the first one', () => {
  using directory = createTemporaryDirectory('quiet');
  const root = path.join(directory.path, 'root');
  for (let number = 0; number < 40; number += 1) {
    fs.mkdirSync(path.join(root, `d${number}`), { recursive: true });
    for (const name of names) fs.writeFileSync(path.join(root, `d${number}`, name), name);
  }
  const bench = new FolderBench(directory.path, root, { watchLimit: 0, stepsPerSlice: 2 });
  bench.scan();
  const minute = (): number => {
    const before = bench.steps;
    bench.pass(60_000);
    return bench.steps - before;
  };
  const first = minute();
  expect(minute()).toBeLessThan(first / 2);
  fs.appendFileSync(path.join(root, 'd7', 'a'), 'x');
  expect(minute()).toBeGreaterThan(0);
  expect(bench.indexer.index.get('d7/a' as RelativePath)?.state).toMatchObject({ size: 2 });
  bench.close();
});

it('takes no directory for quiet that changed a moment ago, or whose files the index does not know as they are', () => {
  using directory = createTemporaryDirectory('noted');
  const root = path.join(directory.path, 'root');
  fs.mkdirSync(path.join(root, 'd'), { recursive: true });
  fs.writeFileSync(path.join(root, 'd', 'f'), 'content');
  const bench = new FolderBench(directory.path, root, { watchLimit: 0 });
  bench.scan();
  const at = 'd' as RelativePath;
  const look = (quiet: QuietDirectories): boolean => {
    quiet.begin(root, at);
    quiet.end();
    return quiet.has(root, at);
  };
  const changedMs = fs.statSync(path.join(root, 'd')).ctimeMs;
  expect(look(new QuietDirectories(bench.indexer.index, () => changedMs + 1900))).toBe(false);
  const quiet = new QuietDirectories(bench.indexer.index, () => changedMs + 60_000);
  expect(look(quiet)).toBe(true);
  quiet.disturb('d/f' as RelativePath);
  expect(quiet.has(root, at)).toBe(false);
  quiet.begin(root, at);
  quiet.disturb('d/f' as RelativePath);
  quiet.end();
  expect(quiet.has(root, at)).toBe(false);
  expect(look(quiet)).toBe(true);
  bench.indexer.markDirty('d/f' as RelativePath);
  expect(quiet.has(root, at)).toBe(false);
  bench.pass(60_000);
  expect(look(quiet)).toBe(true);
  fs.writeFileSync(path.join(root, 'd', 'g'), '');
  expect(quiet.has(root, at)).toBe(false);
  bench.close();
});
