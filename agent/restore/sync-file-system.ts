import { execFile } from 'node:child_process';

/**
 * Resolves when what was written to the file system of `directory` is on its disk, as far as coreutils' sync can say:
 * Node has no syncfs(2), and a sync of each of many small files would take longer than all the rest. Where the program
 * is missing the kernel writes in its own time.
 */
export function syncFileSystem(directory: string): Promise<void> {
  return new Promise((resolve) => {
    execFile('sync', ['-f', directory], () => resolve());
  });
}
