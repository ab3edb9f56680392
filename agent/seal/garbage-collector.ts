import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What this thread may hold outside of V8's heap before everything is looked through. */
const externalBytesMax = 32 * 1024 * 1024;

/**
 * A function that collects this thread's young garbage at once, or all of it where much has gathered. A dump leaves
 * buffers of the stream's size behind, which V8 hardly counts as a reason to collect: without this a dump takes half a
 * gigabyte.
 */
export function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('gc');
  if (typeof gc !== 'function') return () => {};
  return () => {
    gc({ type: 'minor' });
    if (process.memoryUsage().external > externalBytesMax) gc();
  };
}
