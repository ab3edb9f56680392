import fs from 'node:fs';
import { ifThere } from './if-there.ts';

export type TreeCompareOptions = {
  /** Paths (latin1 byte strings relative to the root) that neither side needs to have; of a directory: with all in it. */
  ignore?: (path: string) => boolean;
  /** What is compared beyond names, kinds and bytes. Default: modes, times of files and links, link targets. */
  modes?: boolean;
  times?: boolean;
  owners?: boolean;
  /** False: symbolic links of either side are passed over (a receiver keeps them in its journal only). */
  links?: boolean;
  /** False: directories without a file below them may be missing on one side. */
  emptyDirectories?: boolean;
};

/** `path` is a latin1 byte string relative to the roots. */
export type TreeDifference = { path: string; problem: string };

export type TreeComparison = {
  differences: TreeDifference[];
  /** Paths of the expected tree that this user may not read: nothing is said of them. */
  unreadable: string[];
  files: number;
  bytes: number;
  links: number;
};

const linesMax = 40;
const blockBytes = 256 * 1024;
const blocks = [Buffer.allocUnsafe(blockBytes), Buffer.allocUnsafe(blockBytes)] as const;

type Entry = { stat: fs.BigIntStats; path: string; fsPath: Buffer };

/**
 * Compares two trees to the byte, the mode bit, the nanosecond and the link target. FIFOs, sockets and devices are
 * passed over: they are never replicated. Reads everything; nothing is followed. What goes while it is listed is not there.
 */
export function compareTrees(
  expectedRoot: string,
  actualRoot: string,
  options: TreeCompareOptions = {},
): TreeComparison {
  const comparison: TreeComparison = { differences: [], unreadable: [], files: 0, bytes: 0, links: 0 };
  const report = (path: string, problem: string): void => {
    comparison.differences.push({ path, problem });
  };
  const expected = listTree(expectedRoot, options);
  const actual = listTree(actualRoot, options);
  for (const [path, entry] of expected) {
    const other = actual.get(path);
    if (!isReadable(entry)) {
      comparison.unreadable.push(path);
      continue;
    }
    if (other === undefined) report(path, `missing (expected ${kindOf(entry.stat)})`);
    else compareEntry(entry, other, options, comparison, (problem) => report(path, problem));
  }
  for (const [path, entry] of actual) {
    if (!expected.has(path)) report(path, `not expected (${kindOf(entry.stat)})`);
  }
  return comparison;
}

/** The differences as text for a failing test or a person; empty when there are none. */
export function formatDifferences(differences: readonly TreeDifference[]): string {
  const lines = differences
    .slice(0, linesMax)
    .map(({ path, problem }) => `${JSON.stringify(Buffer.from(path, 'latin1').toString())}: ${problem}`);
  const more = differences.length - lines.length;
  return [...lines, ...(more > 0 ? [`… and ${more} more`] : [])].join('\n');
}

/** Regular files below the root, as latin1 byte strings, with their sizes. */
export function listFiles(root: string, options: TreeCompareOptions = {}): { path: string; bytes: number }[] {
  return [...listTree(root, options).values()]
    .filter((entry) => entry.stat.isFile())
    .map((entry) => ({ path: entry.path, bytes: Number(entry.stat.size) }));
}

function compareEntry(
  expected: Entry,
  actual: Entry,
  options: TreeCompareOptions,
  comparison: TreeComparison,
  report: (problem: string) => void,
): void {
  const [before, after] = [expected.stat, actual.stat];
  if (kindOf(before) !== kindOf(after)) {
    report(`${kindOf(before)} became ${kindOf(after)}`);
    return;
  }
  if (before.isFile()) {
    comparison.files++;
    comparison.bytes += Number(before.size);
    const problem =
      before.size === after.size
        ? firstDifferentByte(expected.fsPath, actual.fsPath)
        : `size ${after.size}, expected ${before.size}`;
    if (problem !== null) report(problem);
  }
  if (before.isSymbolicLink()) {
    comparison.links++;
    const target = fs.readlinkSync(expected.fsPath, 'buffer');
    const other = fs.readlinkSync(actual.fsPath, 'buffer');
    if (!target.equals(other)) report(`link to ${other.toString()}, expected ${target.toString()}`);
  }
  if (options.modes !== false && !before.isSymbolicLink() && before.mode !== after.mode) {
    report(`mode ${after.mode.toString(8)}, expected ${before.mode.toString(8)}`);
  }
  if (options.times !== false && !before.isDirectory() && before.mtimeNs !== after.mtimeNs) {
    report(`mtime ${after.mtimeNs}, expected ${before.mtimeNs}`);
  }
  if (options.owners === true && (before.uid !== after.uid || before.gid !== after.gid)) {
    report(`owner ${after.uid}:${after.gid}, expected ${before.uid}:${before.gid}`);
  }
}

function firstDifferentByte(expected: Buffer, actual: Buffer): string | null {
  const [a, b] = blocks;
  const fds = [fs.openSync(expected, 'r'), fs.openSync(actual, 'r')] as const;
  try {
    for (let offset = 0; ;) {
      const read = fs.readSync(fds[0], a, 0, blockBytes, offset);
      const other = fs.readSync(fds[1], b, 0, blockBytes, offset);
      if (read !== other || !a.subarray(0, read).equals(b.subarray(0, other))) {
        const same = a.subarray(0, read).findIndex((byte, at) => byte !== b[at]);
        return `differs from byte ${offset + same}`;
      }
      if (read === 0) return null;
      offset += read;
    }
  } finally {
    for (const fd of fds) fs.closeSync(fd);
  }
}

function listTree(root: string, options: TreeCompareOptions): Map<string, Entry> {
  const found = new Map<string, Entry>();
  const walk = (directory: Buffer, prefix: string): number => {
    let kept = 0;
    for (const name of readNames(directory)) {
      const path = prefix + name.toString('latin1');
      if (options.ignore?.(path) === true) continue;
      const fsPath = Buffer.concat([directory, Buffer.from('/'), name]);
      const stat = ifThere(() => fs.lstatSync(fsPath, { bigint: true }));
      if (stat === null) continue;
      if (!stat.isFile() && !stat.isDirectory() && !stat.isSymbolicLink()) continue;
      if (stat.isSymbolicLink() && options.links === false) continue;
      if (stat.isDirectory()) {
        const below = ifThere(() => walk(fsPath, `${path}/`));
        if (below === null) continue;
        if (below === 0 && options.emptyDirectories === false) continue;
      }
      kept++;
      found.set(path, { stat, path, fsPath });
    }
    return kept;
  };
  walk(Buffer.from(root), '');
  return found;
}

/** Sorted by bytes; none where the directory may not be read. */
function readNames(directory: Buffer): Buffer[] {
  try {
    return fs.readdirSync(directory, { encoding: 'buffer' }).sort((a, b) => a.compare(b));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EACCES') return [];
    throw error;
  }
}

function isReadable(entry: Entry): boolean {
  if (entry.stat.isSymbolicLink()) return true;
  try {
    fs.accessSync(entry.fsPath, fs.constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function kindOf(stat: fs.BigIntStats): string {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  return stat.isSymbolicLink() ? 'symbolic link' : 'special file';
}
