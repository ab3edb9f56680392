import { setFlagsFromString } from 'node:v8';

/**
 * Makes V8 collect garbage as suits a program whose heap is small and which moves large buffers, in every thread that
 * begins later. Call it before anything large is loaded.
 *
 * - The space for young objects stays at its initial size. It would grow to 48 MB a thread, of which a program that
 *   mostly waits has no use, and old buffers would wait that much longer to be freed.
 * - The heap is marked when it and the buffers have grown by `growthPercent`. V8 counts buffers that are long free as
 *   growth, and marked a heap of 28 MB anew for each 10 MB that were sent.
 * - It is marked and scavenged by the thread that it belongs to: helper threads took as much processor time again, which
 *   is another program's on a server with two cores.
 *
 * Not `--no-incremental-marking`, with which a first copy needs 75 MB less: threads that compile then wait for the main
 * one to collect garbage before they allocate, and where that one has begun to exit it waits for them, for ever.
 */
export function tuneGarbageCollection({ growthPercent }: { growthPercent: number }): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString(`--heap-growing-percent=${growthPercent}`);
  setFlagsFromString('--no-concurrent-marking');
  setFlagsFromString('--no-parallel-scavenge');
}
