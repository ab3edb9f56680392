import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { silentLogger } from '../../shared/io/logger.ts';
import { Indexer, indexerDefaults } from '../../agent/watch/indexer.ts';
import { createTestKey, SealedBench } from '../support/sealed-bench.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** Niceness of the threads of this process: field 19 of proc(5)'s stat. */
function niceness(): number[] {
  const tasks = '/proc/self/task';
  return fs.readdirSync(tasks).flatMap((task) => {
    let stat: string;
    try {
      stat = fs.readFileSync(path.join(tasks, task, 'stat'), 'latin1');
    } catch {
      // it has just ended
      return [];
    }
    return [Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])];
  });
}

it('lets the site go before the scanning thread, and leaves all others as they are', async () => {
  const own = os.getPriority();
  const before = niceness().filter((nice) => nice >= 10).length;
  const indexer = new Indexer(
    { logger: silentLogger, onFailure: () => {} },
    { ...indexerDefaults, databaseFile: path.join(temporaryDirectory(), 'index.db') },
  );
  await indexer.start([]);
  try {
    expect(niceness().filter((nice) => nice >= 10).length).toBeGreaterThan(before);
    expect(os.getPriority()).toBe(own);
  } finally {
    await indexer.stop();
  }
});

it('lets the site go before the threads that cut and seal a dump', async () => {
  const key = await createTestKey('priority');
  const bench = await SealedBench.create(temporaryDirectory(), [key.recipient]);
  const before = niceness().filter((nice) => nice >= 10).length;
  const seen: number[] = [];
  const run = { ended: false };
  const dumping = bench.dump(seededBytes('dump', 1024 * 1024)).finally(() => (run.ended = true));
  while (!run.ended) {
    seen.push(niceness().filter((nice) => nice >= 10).length);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await dumping;
  expect(Math.max(...seen)).toBe(before + 2);
});
