import { exposedCollector } from '../../shared/io/garbage-collection.ts';

/** How much this thread may hold outside of V8's heap beyond what the last full collection left. */
const growthBytesMax = 10 * 1024 * 1024;

/**
 * A function that collects this thread's young garbage at once, or all of it where much has gathered. A dump leaves
 * buffers of the stream's size behind, which V8 hardly counts as a reason to collect: without this a dump takes half a
 * gigabyte. A full collection takes several ms, so it is not done for buffers that it would not free.
 */
export function garbageCollector(): () => void {
  const gc = exposedCollector();
  let leftBytes = 0;
  return () => {
    gc({ type: 'minor' });
    const heldBytes = process.memoryUsage().external;
    leftBytes = Math.min(leftBytes, heldBytes);
    if (heldBytes - leftBytes <= growthBytesMax) return;
    gc();
    leftBytes = process.memoryUsage().external;
  };
}
