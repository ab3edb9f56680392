import { execFileSync } from 'node:child_process';

/** Mounting is for root; tests that need it are skipped elsewhere. */
export const canMount = process.getuid?.() === 0;

/** Mounts a tmpfs of that source name until its `using` variable ends; `options` as for mount's `-o`. */
export function mountTmpfs(
  source: string,
  directory: string,
  options: string[] = [],
): { unmount(): void; [Symbol.dispose](): void } {
  execFileSync('mount', ['-t', 'tmpfs', ...options.flatMap((option) => ['-o', option]), source, directory]);
  return mounted(directory);
}

/** Mounts a file system of which little is known until its `using` variable ends. */
export function mountRamfs(directory: string): { [Symbol.dispose](): void } {
  execFileSync('mount', ['-t', 'ramfs', 'ramfs', directory]);
  return mounted(directory);
}

/** Shows `from` at `directory` until its `using` variable ends. */
export function mountBind(
  from: string,
  directory: string,
): { unmount(): void; detach(): void; [Symbol.dispose](): void } {
  execFileSync('mount', ['--bind', from, directory]);
  return mounted(directory);
}

function mounted(directory: string) {
  let stands = true;
  const end = (options: string[]) => {
    if (stands) execFileSync('umount', [...options, directory]);
    stands = false;
  };
  const unmount = () => end([]);
  /** Takes it away although it is in use, as an unplugged disk goes. */
  const detach = () => end(['--lazy']);
  return { unmount, detach, [Symbol.dispose]: unmount };
}
