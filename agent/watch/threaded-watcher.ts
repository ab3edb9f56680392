import { Worker } from 'node:worker_threads';
import type { DirectoryWatcher, WatchEvent } from './directory-watcher.ts';
import type { WatcherRequest } from './watcher-worker.ts';
import { workerEntry } from '../../shared/io/worker-entry.ts';

/** A ChokidarWatcher in a thread of its own, so that a busy loop here never lets its event queue overflow. */
export function createThreadedWatcher(listener: (event: WatchEvent) => void): DirectoryWatcher {
  const worker = new Worker(workerEntry('watcher-worker', import.meta.url), {
    resourceLimits: { maxYoungGenerationSizeMb: 8 },
  });
  let closing = false;
  worker.on('message', listener);
  worker.on('error', (error) => listener({ type: 'failed', reason: String(error) }));
  worker.on('exit', () => {
    if (!closing) listener({ type: 'failed', reason: 'the watching thread ended' });
  });
  return {
    update(unwatch, watch) {
      worker.postMessage({ unwatch, watch } satisfies WatcherRequest);
    },
    async close() {
      closing = true;
      await worker.terminate();
    },
  };
}
