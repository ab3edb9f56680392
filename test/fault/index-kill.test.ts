import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { openDatabase } from '../../shared/io/sqlite.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import { FeedReader } from '../../agent/index/feed-reader.ts';
import { FolderBench } from '../support/folder-bench.ts';
import { compareWithTree, ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory, describeTree } from '../support/source-tree.ts';

const program = fileURLToPath(new URL('../support/kill-child.ts', import.meta.url));
const seed = Number(process.env['MASTOKEEP_SEED'] ?? Date.now() % 1_000_000);

/** Starts the indexer and kills it that long after it said that it runs. */
async function runAndKill(
  databaseFile: string,
  root: string,
  afterMs: number,
  meanwhile: () => void,
): Promise<void> {
  const child = spawn(process.execPath, [program, databaseFile, root], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', () => reject(new Error('the indexer ended by itself')));
  });
  meanwhile();
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  child.kill('SIGKILL');
  await ended;
}

/** Changes some of a tree of 40 directories, reproducibly. */
function disturb(root: string, random: () => number): void {
  for (let change = 0; change < 30; change += 1) {
    const directory = path.join(root, `d${Math.floor(random() * 40)}`);
    const file = path.join(directory, `f${Math.floor(random() * 12)}`);
    const kind = random();
    if (kind < 0.1) fs.rmSync(directory, { recursive: true, force: true });
    else if (kind < 0.25) fs.rmSync(file, { force: true });
    else {
      fs.mkdirSync(directory, { recursive: true });
      fs.writeFileSync(file, String(random()).repeat(Math.floor(1 + random() * 2000)));
    }
  }
}

/*
 * The invariant: however often the indexer is killed, a receiver that follows from where it was is never told wrong, and
 * after the next full scan it has been told everything; no sequence is given twice.
 */
it('skips no change and gives no sequence twice, killed at any moment', async () => {
  console.log(`seed ${seed} (MASTOKEEP_SEED=${seed} repeats it)`);
  const random = () => generator.next();
  const generator = seeded(seed);
  using directory = createTemporaryDirectory('kill');
  const root = path.join(directory.path, 'root');
  fs.mkdirSync(root);
  fs.writeFileSync(path.join(root, 'keep'), '');
  const databaseFile = path.join(directory.path, 'index.db');
  const receiver = new ReplayedFeed();
  const given: FeedPosition[] = [];
  for (let round = 0; round < 25; round += 1) {
    disturb(root, random);
    await runAndKill(databaseFile, root, Math.floor(random() * 700), () => disturb(root, random));
    const database = openDatabase(databaseFile);
    const feed = new FeedReader(database, 'media');
    const indexId = feed.folder().index_id;
    for (const position of given) expect(feed.matches(position)).toBe(true);
    receiver.follow(feed, 50);
    if (receiver.token !== null) given.push({ indexId, sequence: receiver.through, token: receiver.token });
    expect(feed.folder().next_sequence).toBe(receiver.through + 1);
    database.close();
  }
  const bench = new FolderBench(directory.path, root);
  bench.scan();
  receiver.follow(bench.feed);
  expect(compareWithTree(receiver, describeTree(root))).toEqual([]);
  const fresh = new ReplayedFeed();
  fresh.follow(bench.feed);
  expect(compareWithTree(fresh, describeTree(root))).toEqual([]);
  bench.close();
});

function seeded(from: number): { next(): number } {
  const values = fc.sample(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
    seed: from,
    numRuns: 20_000,
  });
  let at = 0;
  return { next: () => values[at++ % values.length] ?? 0 };
}
