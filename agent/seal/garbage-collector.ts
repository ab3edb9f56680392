import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * A function that collects this thread's garbage at once. Sealing a pack leaves about ten times its size behind in
 * buffers, which V8 hardly counts as a reason to collect: without this a dump takes half a gigabyte.
 */
export function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  return typeof collect === 'function' ? (collect as () => void) : () => {};
}
