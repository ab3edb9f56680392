import { parentPort } from 'node:worker_threads';
import { giveBackIdleMemory } from '../../shared/io/idle-memory.ts';
import { ChokidarWatcher } from './chokidar-watcher.ts';

/** Messages to the watching thread; its events come back as they are. */
export type WatcherRequest = { unwatch: readonly string[]; watch: readonly string[] };

/** The entry of the watching thread: a loop, and so an inotify queue, of its own. */
if (parentPort !== null) {
  const port = parentPort;
  giveBackIdleMemory();
  const watcher = new ChokidarWatcher((event) => port.postMessage(event));
  port.on('message', (request: WatcherRequest) => watcher.update(request.unwatch, request.watch));
}
