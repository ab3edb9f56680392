import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { silentLogger } from '../../shared/io/logger.ts';
import type { FolderFeed } from '../../agent/index/folder-feed.ts';
import { Indexer, indexerDefaults } from '../../agent/watch/indexer.ts';

/** Runs an indexer under whatever limits this process has, and prints what it noticed. */
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-limit-'));
const root = path.join(home, 'root');
const fill = (name: string) => {
  for (let number = 0; number < 40; number += 1) {
    fs.mkdirSync(path.join(root, `d${number}`), { recursive: true });
    fs.writeFileSync(path.join(root, `d${number}`, name), name);
  }
};
const files = (feed: FolderFeed) => {
  const records = feed.batchAfter(0)?.records ?? [];
  return records.filter((record) => record.state.kind === 'file').map((record) => record.path);
};

fill('one');
const indexer = new Indexer(
  {
    logger: silentLogger,
    onFailure: (error) => {
      throw error;
    },
  },
  // it is not noticed by the look at everything hot that comes every minute
  { ...indexerDefaults, hotScanIntervalMs: 3_600_000, databaseFile: path.join(home, 'index.db') },
);
const degraded = new Promise<void>((resolve) => {
  indexer.onStatus((folderId) => {
    if (indexer.status(folderId).watching === 'degraded') resolve();
  });
});
await indexer.start([{ id: 'media', root, ignore: [] }]);
const feed = indexer.feed('media');
await indexer.scan('media');
const before = files(feed);
await degraded;
const status = indexer.status('media');
fill('two');
await indexer.scan('media');
console.log(JSON.stringify({ status, before, after: files(feed) }));
await indexer.stop();
fs.rmSync(home, { recursive: true });
