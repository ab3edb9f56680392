import os from 'node:os';

/**
 * Lets other programs go first where this thread and they want the same processor or disk: on Linux niceness is a thread's own,
 * and its I/O priority follows it (best-effort 4 at niceness 0, 6 at 10) where none was set. What is nicer already stays so.
 * @see setpriority(2), ioprio_set(2)
 */
export function lowerThreadPriority(niceness: number): void {
  if (os.getPriority() < niceness) os.setPriority(niceness);
}
