import { eventLoopUtilization } from 'node:perf_hooks';
import { exposedCollector } from './garbage-collection.ts';

const lookEveryMs = 15_000;
/** A thread that worked less than this share of the time between two looks is idle. */
const idleShareMax = 0.05;
/** So much more on the heap than was left by the last collection is worth one. */
const growthBytesMin = 2 * 1024 * 1024;

/**
 * From now on gives memory back while this thread has nothing to do; keeps no thread alive. V8 collects garbage when a program
 * wants more memory, and one that waits wants none: what a scan, a dump or a first copy left would stay for days.
 */
export function giveBackIdleMemory(): void {
  const gc = exposedCollector();
  let leftBytes = 0;
  let before = eventLoopUtilization();
  setInterval(() => {
    const now = eventLoopUtilization();
    const { utilization } = eventLoopUtilization(now, before);
    before = now;
    if (utilization > idleShareMax) return;
    const { heapUsed, external } = process.memoryUsage();
    leftBytes = Math.min(leftBytes, heapUsed + external);
    if (heapUsed + external - leftBytes < growthBytesMin) return;
    gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    const left = process.memoryUsage();
    leftBytes = left.heapUsed + left.external;
  }, lookEveryMs).unref();
}
