import { execFileSync } from 'node:child_process';

/** Mounting is for root; tests that need it are skipped elsewhere. */
export const canMount = process.getuid?.() === 0;

/** Mounts a tmpfs of that source name until its `using` variable ends. */
export function mountTmpfs(source: string, directory: string): { unmount(): void; [Symbol.dispose](): void } {
  execFileSync('mount', ['-t', 'tmpfs', source, directory]);
  return mounted(directory);
}

/** Shows `from` at `directory` until its `using` variable ends. */
export function mountBind(from: string, directory: string): { unmount(): void; [Symbol.dispose](): void } {
  execFileSync('mount', ['--bind', from, directory]);
  return mounted(directory);
}

function mounted(directory: string) {
  let stands = true;
  const unmount = () => {
    if (stands) execFileSync('umount', [directory]);
    stands = false;
  };
  return { unmount, [Symbol.dispose]: unmount };
}
