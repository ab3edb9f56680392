import fs from 'node:fs';
import path from 'node:path';

const [blockBytes, timesWithinMs] = [1024 * 1024, 0.001];
const blocks = [Buffer.allocUnsafe(blockBytes), Buffer.allocUnsafe(blockBytes)] as const;

/**
 * Throws unless both trees have the same files: names, sizes, every byte, and modification times to the microsecond, which
 * is what the time of a plain file on a receiver is kept to. Holds one directory at a time, whatever the size of the tree.
 */
export function assertSameMedia(who: string, source: string, copy: string): void {
  const waiting = [''];
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    const [from, to] = [path.join(source, directory), path.join(copy, directory)];
    const [names, copied] = [fs.readdirSync(from).toSorted(), fs.readdirSync(to).toSorted()];
    if (names.join('/') !== copied.join('/')) throw new Error(`${who}: ${to} has other names than ${from}`);
    for (const name of names) {
      const below = path.join(directory, name);
      const stat = fs.lstatSync(path.join(from, name));
      if (stat.isDirectory()) waiting.push(below);
      else assertSameFile(who, path.join(from, name), path.join(to, name), stat);
    }
  }
}

function assertSameFile(who: string, file: string, copy: string, stat: fs.Stats): void {
  const copied = fs.lstatSync(copy);
  if (!copied.isFile() || copied.size !== stat.size) throw new Error(`${who}: ${copy} has another size`);
  if (Math.abs(copied.mtimeMs - stat.mtimeMs) > timesWithinMs)
    throw new Error(`${who}: ${copy} has another time`);
  const fds = [fs.openSync(file, 'r'), fs.openSync(copy, 'r')] as const;
  try {
    for (let at = 0; at < stat.size; at += blockBytes) {
      const [a, b] = blocks;
      const [read, other] = [
        fs.readSync(fds[0], a, 0, blockBytes, at),
        fs.readSync(fds[1], b, 0, blockBytes, at),
      ];
      if (read !== other || !a.subarray(0, read).equals(b.subarray(0, other)))
        throw new Error(`${who}: ${copy} has other bytes`);
    }
  } finally {
    for (const fd of fds) fs.closeSync(fd);
  }
}
