import os from 'node:os';

const niceness = 10;

/**
 * Lets other programs go first where this thread and they want the same processor or disk: on Linux niceness is a thread's own,
 * and its I/O priority follows it (best-effort 6 instead of 4) where none was set. What is nicer already stays so.
 * @see setpriority(2), ioprio_set(2)
 */
export function lowerThreadPriority(): void {
  if (os.getPriority() < niceness) os.setPriority(niceness);
}
