import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Makes V8 collect garbage as suits a program whose heap is small and which moves large buffers, in every thread that
 * begins later. Call it before anything large is loaded.
 *
 * - The space for young objects stays at its initial size. It would grow to 48 MB a thread, of which a program that
 *   mostly waits has no use, and old buffers would wait that much longer to be freed.
 * - The heap is marked when it and the buffers have doubled. V8 counts buffers that are long free as growth, and marked a
 *   heap of 28 MB anew for each 10 MB that were sent.
 * - It is marked and scavenged by the thread that it belongs to: helper threads took as much processor time again, which
 *   is another program's on a server with two cores.
 *
 * Not `--no-incremental-marking`: threads that compile then wait for the main one to collect garbage before they allocate,
 * and where that one has begun to exit it waits for them, for ever.
 */
export function tuneGarbageCollection(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--heap-growing-percent=100');
  setFlagsFromString('--no-concurrent-marking');
  setFlagsFromString('--no-parallel-scavenge');
}

/** V8's own function that collects this thread's garbage, which a program gets with `--expose-gc` alone otherwise. */
export function exposedCollector(): NodeJS.GCFunction {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('gc');
  assert(typeof gc === 'function', 'V8 gives out no garbage collector');
  return gc as NodeJS.GCFunction;
}

/** A function that is told of bytes that went through buffers, and collects whenever `everyBytes` of them have. */
export function collectEvery(everyBytes: number, collect: () => void): (bytes: number) => void {
  let since = 0;
  return (bytes) => {
    since += bytes;
    if (since < everyBytes) return;
    since = 0;
    collect();
  };
}
