import fs from 'node:fs';
import { systemErrorCode } from '../../shared/errors/coded-error.ts';
import { parseRelativePath, type RelativePath } from '../../shared/records/relative-path.ts';
import { isNetworkType, keepsTimes, mountsBelow, parseMountTable, type Mount } from './mount-table.ts';

type MountKind = { type: string; source: string };

/**
 * What a source looked like when it was last taken as itself: the configured root, its mount, and the mounts below it
 * (by their path under the root). Device numbers are not in it: they change at every mount of a network file system.
 */
export type SourceBaseline = { root: string; mount: MountKind; below: Record<string, MountKind> };

type SourceProblem = 'missing' | 'unreadable' | 'empty' | 'mount' | 'root';

/**
 * `current` is the baseline as of now; on a `network` only size and mtime are compared. `keepsTimes`: wherever in it, a
 * directory gets other times with every change of its names.
 */
export type IntactSource = {
  problem: null;
  current: SourceBaseline;
  network: boolean;
  keepsTimes: boolean;
  realRoot: string;
};

/** A look at a source: `problem` says why nothing may be recorded from it. */
export type SourceLook =
  | IntactSource
  | { problem: SourceProblem; reason: string; current: SourceBaseline | null; empty: boolean };

export type SourceExpectation = {
  /** As configured; may be a symbolic link. */
  root: string;
  /** Null for a folder that was never scanned. */
  baseline: SourceBaseline | null;
  /** Whether the index has live paths other than the root. */
  hasLivePaths: boolean;
  acceptEmpty: boolean;
  ignores(path: RelativePath, isDirectory: boolean): boolean;
};

const { O_RDONLY, O_DIRECTORY } = fs.constants;

/**
 * Tells a source that vanished from one whose files were deleted. Opening the root wakes an automounter, so the mount
 * table is read afterwards: an autofs root that is idle is not gone.
 */
export function lookAtSource(expected: SourceExpectation): SourceLook {
  let fd: number;
  try {
    fd = fs.openSync(expected.root, O_RDONLY | O_DIRECTORY);
  } catch (error) {
    return refusal(error, expected.root);
  }
  try {
    const empty = !hasEntries(fd, expected);
    return judge(expected, fd, empty);
  } catch (error) {
    return refusal(error, expected.root);
  } finally {
    fs.closeSync(fd);
  }
}

function judge(expected: SourceExpectation, fd: number, empty: boolean): SourceLook {
  const { root, baseline, hasLivePaths } = expected;
  const realRoot = fs.readlinkSync(`/proc/self/fd/${fd}`);
  const mounts = parseMountTable(fs.readFileSync('/proc/self/mountinfo', 'utf8'));
  const id = Number(/^mnt_id:\s*(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]);
  const mount = mounts.find((entry) => entry.id === id);
  const current: SourceBaseline = {
    root,
    mount: { type: mount?.type ?? 'unknown', source: mount?.source ?? 'unknown' },
    below: nestedMounts(realRoot, mounts),
  };
  const stop = (problem: SourceProblem, reason: string): SourceLook => ({ problem, reason, current, empty });
  if (hasLivePaths && baseline !== null) {
    if (baseline.root !== root) return stop('root', `the root was ${baseline.root} and is now ${root}`);
    const difference = mountDifference(baseline, current);
    if (difference !== null) return stop('mount', difference);
  }
  if (empty && hasLivePaths && !expected.acceptEmpty) {
    return stop('empty', `${root} is empty, and the index still has files of it`);
  }
  const types = [current.mount, ...mountsBelow(realRoot, mounts)].map(({ type }) => type);
  return {
    problem: null,
    current,
    network: isNetworkType(current.mount.type),
    keepsTimes: types.every(keepsTimes),
    realRoot,
  };
}

/** What is mounted otherwise than before, in words; null when the same. Mounts that were added below are no reason to stop. */
export function mountDifference(before: SourceBaseline, now: SourceBaseline): string | null {
  const expectations: [string, MountKind, MountKind | undefined][] = [[now.root, before.mount, now.mount]];
  for (const [path, mount] of Object.entries(before.below)) {
    expectations.push([`${now.root}/${path}`, mount, now.below[path]]);
  }
  for (const [path, was, is] of expectations) {
    if (is === undefined) return `${path} was a mount of ${was.type} ${was.source} and is none now`;
    if (is.type !== was.type || is.source !== was.source) {
      return `${path} was on ${was.type} ${was.source} and is now on ${is.type} ${is.source}`;
    }
  }
  return null;
}

/** Mounts below the root, without those that an automounter brings and takes away. */
function nestedMounts(realRoot: string, mounts: readonly Mount[]): Record<string, MountKind> {
  const automounts = mounts.filter((mount) => mount.type === 'autofs').map((mount) => mount.mountPoint);
  const prefix = realRoot === '/' ? '/' : `${realRoot}/`;
  return Object.fromEntries(
    mountsBelow(realRoot, mounts)
      .filter(({ mountPoint }) => !automounts.some((point) => `${mountPoint}/`.startsWith(`${point}/`)))
      .map(({ mountPoint, type, source }) => [mountPoint.slice(prefix.length), { type, source }]),
  );
}

/** True when the directory holds anything that is not ignored. */
function hasEntries(fd: number, expected: SourceExpectation): boolean {
  const directory = fs.opendirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' as BufferEncoding });
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      const name = parseRelativePath(entry.name as unknown as Buffer);
      if (!expected.ignores(name, entry.isDirectory())) return true;
    }
    return false;
  } finally {
    directory.closeSync();
  }
}

function refusal(error: unknown, root: string): SourceLook {
  const code = systemErrorCode(error);
  if (code === null) throw error;
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') {
    return { problem: 'missing', reason: `${root} is missing`, current: null, empty: false };
  }
  return { problem: 'unreadable', reason: `${root} cannot be read (${code})`, current: null, empty: false };
}
