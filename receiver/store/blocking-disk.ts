import fs from 'node:fs';
import { diskError, type Disk } from '../../shared/io/disk.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';

/** A sync that blocks is cheaper than one that goes through libuv's pool as long as it takes less than this. */
const blockingSyncMs = 0.1;
/** How much the latest sync counts, and how soon a slow disk is tried again. */
const [latestWeight, forgottenPart] = [0.05, 0.005];

/**
 * The real disk for a thread that may be kept waiting. The first sync of a directory commits the file system's journal, and
 * those behind it mostly find that done: they block, one after the other. Where they take longer, because the disk has to
 * empty its cache for each, they share that by waiting together.
 */
export function blockingDisk(): Disk {
  let meanMs = 0;
  return {
    ...nodeDisk,
    async syncDirectory(path) {
      if (meanMs > blockingSyncMs) {
        meanMs -= meanMs * forgottenPart;
        await nodeDisk.syncDirectory(path);
        return;
      }
      const startedAt = performance.now();
      try {
        const fd = fs.openSync(
          Buffer.from(path, 'latin1'),
          fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW,
        );
        try {
          fs.fsyncSync(fd);
        } finally {
          fs.closeSync(fd);
        }
      } catch (error) {
        throw diskError(error, 'fsync', path);
      }
      meanMs += (performance.now() - startedAt - meanMs) * latestWeight;
    },
  };
}
