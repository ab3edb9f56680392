import fs from 'node:fs';

const listenState = '0A';

/** Local addresses (as /proc/net writes them) on which the process listens for TCP connections. */
export function listeningSockets(pid: number): string[] {
  const held = new Set(
    fs.readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return fs.readlinkSync(`/proc/${pid}/fd/${fd}`).match(/^socket:\[(\d+)\]$/)?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  );
  return ['tcp', 'tcp6'].flatMap((table) =>
    fs
      .readFileSync(`/proc/${pid}/net/${table}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[3] === listenState && held.has(columns[9] ?? ''))
      .map((columns) => columns[1] ?? ''),
  );
}
