import { silentLogger } from '../../shared/io/logger.ts';
import { Indexer, indexerDefaults } from '../../agent/watch/indexer.ts';

/** An indexer on `<home> <root>` that scans without end, until it is killed; says when each scan was done. */
const [databaseFile, root] = process.argv.slice(2);
if (databaseFile === undefined || root === undefined) throw new Error('database and root are missing');
const indexer = new Indexer(
  {
    logger: silentLogger,
    onFailure: (error) => {
      throw error;
    },
  },
  { ...indexerDefaults, databaseFile, hotScanIntervalMs: 100 },
);
await indexer.start([{ id: 'media', root, ignore: [] }]);
process.stdout.write('started\n');
for (;;) {
  await indexer.scan('media');
  process.stdout.write('scanned\n');
}
