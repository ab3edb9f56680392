import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { canAutomount, startAutomounter } from '../support/automounter.ts';
import { FolderBench } from '../support/folder-bench.ts';
import { ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory } from '../support/source-tree.ts';

async function setUp(map: (directory: string) => Parameters<typeof startAutomounter>[1]) {
  const directory = createTemporaryDirectory('autofs');
  const served = path.join(directory.path, 'served');
  fs.mkdirSync(path.join(served, 'sub'), { recursive: true });
  for (const name of ['a', 'sub/b']) fs.writeFileSync(path.join(served, name), name);
  const wanted = map(directory.path);
  fs.mkdirSync(wanted.point, { recursive: true });
  const automounter = await startAutomounter(directory.path, wanted, served);
  return {
    home: directory.path,
    served,
    automounter,
    async [Symbol.asyncDispose]() {
      await automounter.stop();
      directory[Symbol.dispose]();
    },
  };
}

function livePaths(bench: FolderBench): string[] {
  const replayed = new ReplayedFeed();
  replayed.follow(bench.feed);
  return [...replayed.states.keys()].filter((name) => name !== '').sort();
}

it.skipIf(!canAutomount).each(['direct', 'indirect'] as const)(
  'takes an autofs root that is idle (%s) for what it is: not gone',
  async (kind) => {
    await using setup = await setUp((directory) =>
      kind === 'direct'
        ? { kind, point: path.join(directory, 'root') }
        : { kind, point: path.join(directory, 'auto'), name: 'root' },
    );
    const root = path.join(setup.home, kind === 'direct' ? 'root' : 'auto/root');
    const { automounter } = setup;
    const bench = new FolderBench(setup.home, root);
    expect(automounter.isMounted()).toBe(false);
    expect(bench.scan()).toMatchObject({ files: 2, unreadable: 0 });
    expect(livePaths(bench)).toEqual(['a', 'sub/b']);
    const { sequence } = bench.indexer.index;

    await automounter.expire();
    expect(bench.scan()).toMatchObject({ files: 2, changed: 0 });
    await automounter.expire();
    bench.pass(60_000);
    await automounter.expire();
    // Restarted while it is idle.
    bench.close();
    const again = new FolderBench(setup.home, root);
    again.run();
    expect(again.condition).toMatchObject({ state: 'idle', stateReason: null });
    expect(again.indexer.index.sequence).toBe(sequence);

    await automounter.expire();
    fs.writeFileSync(path.join(setup.served, 'c'), 'c');
    again.pass(60_000);
    expect(livePaths(again)).toEqual(['a', 'c', 'sub/b']);
    again.close();
  },
);

it.skipIf(!canAutomount)('stops when the automounter has ended and left nothing behind', async () => {
  await using setup = await setUp((directory) => ({ kind: 'direct', point: path.join(directory, 'root') }));
  const bench = new FolderBench(setup.home, path.join(setup.home, 'root'));
  bench.scan();
  await setup.automounter.stop();
  expect(() => bench.scan()).toThrowError(expect.objectContaining({ code: 'SOURCE_STOPPED' }));
  expect(livePaths(bench)).toEqual(['a', 'sub/b']);
  bench.close();
});

it.skipIf(!canAutomount)('deletes nothing where an automount below the root is idle', async () => {
  await using setup = await setUp((directory) => ({
    kind: 'indirect',
    point: path.join(directory, 'root', 'auto'),
    name: 'media',
  }));
  const root = path.join(setup.home, 'root');
  fs.writeFileSync(path.join(root, 'own'), '');
  fs.readdirSync(path.join(root, 'auto', 'media'));
  const bench = new FolderBench(setup.home, root);
  expect(bench.scan()).toMatchObject({ files: 3 });
  const before = livePaths(bench);
  await setup.automounter.expire();
  expect(bench.scan()).toMatchObject({ files: 3, unreadable: 0 });
  expect(livePaths(bench)).toEqual(expect.arrayContaining(before));
  bench.close();
});
