import fs from 'node:fs';
import process from 'node:process';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { crashPoint } from '../../shared/io/crash-point.ts';
import {
  baseName,
  displayPath,
  fsPath,
  parentPath,
  type RelativePath,
  rootPath,
} from '../../shared/records/relative-path.ts';
import type { PlannedDirectory } from './restore-plan.ts';
import { isTemporaryName } from './temporary-file.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants;

/** Open directories that nobody uses at the moment; each costs a descriptor. */
const idleDirectoriesMax = 256;

/** As `mkdir` makes them for most people. */
const modeWithoutRecord = 0o755;

type HeldDirectory = { path: RelativePath; fd: number; users: number };

/** A place in an open directory: `file` is a path that follows no link but the last name's, for system calls only. */
export type HeldPlace = { file: Buffer; directory: Buffer; release(): void };

export type TargetTreeOptions = {
  /** Absolute path of the folder's target; it exists. Links in it are the user's own and are followed. */
  root: string;
  /** It was made for this restore. */
  rootMade: boolean;
  keepOwners: boolean;
  /** Directories that are there and not `selected` keep their mode and owner. */
  inPlace: boolean;
  directories: readonly PlannedDirectory[];
};

/**
 * The directories of one folder's target. Each is opened relative to its open parent and never through a symbolic
 * link, so that nothing below the root can lead a write out of it, whoever put it there and whenever.
 */
export class TargetTree {
  readonly #options: TargetTreeOptions;
  readonly #planned: ReadonlyMap<RelativePath, PlannedDirectory>;
  readonly #held = new Map<RelativePath, HeldDirectory>();
  /** Those that nobody uses, in the order of their last use. */
  readonly #idle = new Map<RelativePath, HeldDirectory>();
  readonly #made = new Set<RelativePath>();
  readonly #visited = new Set<RelativePath>();
  /** Modes of directories that had to be opened up for writing, to be given back. */
  readonly #openedUp = new Map<RelativePath, number>();
  readonly #asRoot = process.getuid?.() === 0;
  /** Leftovers of an interrupted run by the directory that holds them. */
  readonly leftovers = new Map<RelativePath, Set<string>>();
  ownersRefused = 0;

  constructor(options: TargetTreeOptions) {
    this.#options = options;
    if (options.rootMade) this.#made.add(rootPath);
    this.#planned = new Map(options.directories.map((directory) => [directory.path, directory]));
  }

  /**
   * The place of `path` in its directory, which is made where it is missing; its descriptor stays open until `release`.
   * @throws CodedError RESTORE_CONFLICT when something else than a directory is on the way; system errors
   */
  hold(path: RelativePath): HeldPlace {
    const parent = parentPath(path) ?? rootPath;
    const held = this.#open(parent);
    let released = false;
    return {
      file: placeIn(held.fd, baseName(path)),
      directory: placeIn(held.fd, '.'),
      release: () => {
        if (released) return;
        released = true;
        this.#release(held);
      },
    };
  }

  /** Makes what is missing of all planned directories; those that cannot be made are given back. */
  makeDirectories(): { path: RelativePath; error: unknown }[] {
    const failed: { path: RelativePath; error: unknown }[] = [];
    for (const { path } of this.#options.directories) {
      if (this.#visited.has(path)) continue;
      try {
        this.#release(this.#open(path));
      } catch (error) {
        failed.push({ path, error });
      }
    }
    return failed;
  }

  /** Removes the directories that were made, by this run or (`byEarlierRun`) an earlier one, as far as they are empty. */
  removeMade(byEarlierRun: boolean): void {
    const made = byEarlierRun ? this.#planned.keys() : this.#made;
    const deepestFirst = [...made].sort((a, b) => b.length - a.length);
    for (const path of deepestFirst) {
      if (path === rootPath) continue;
      try {
        fs.rmdirSync(fsPath(this.#options.root, path));
      } catch {
        // something is in it, which is not for us to remove
      }
    }
  }

  /** Gives every directory its mode and owner, deepest first; to be called when nothing is written any more. */
  finish(): { path: RelativePath; error: unknown }[] {
    const failed: { path: RelativePath; error: unknown }[] = [];
    for (const { path, metadata, selected } of this.#options.directories.toReversed()) {
      const made = this.#made.has(path) && path !== rootPath;
      if (made && (metadata === null || (metadata.mode & 0o700) === 0o700)) continue;
      try {
        const held = this.#open(path);
        const openedUp = this.#openedUp.get(path) ?? null;
        const mine =
          made || selected || !this.#options.inPlace || (path === rootPath && this.#options.rootMade);
        if (metadata !== null && mine) this.setOwnerAndMode(held.fd, metadata, metadata.mode);
        else if (openedUp !== null) fs.fchmodSync(held.fd, openedUp);
        this.#release(held);
        this.#forget(held);
        crashPoint('restore.directory-finished');
      } catch (error) {
        failed.push({ path, error });
      }
    }
    return failed;
  }

  /** Owner before mode, as a change of owner takes set-ID bits away. A refused owner is counted, not an error. */
  setOwnerAndMode(fd: number, owner: { uid: number; gid: number }, mode: number): void {
    if (this.#options.keepOwners) {
      try {
        fs.fchownSync(fd, owner.uid, owner.gid);
      } catch (error) {
        if (!isRefusedOwner(error)) throw error;
        this.ownersRefused += 1;
      }
    }
    fs.fchmodSync(fd, mode);
  }

  setLinkOwner(file: Buffer, owner: { uid: number; gid: number }): void {
    if (!this.#options.keepOwners) return;
    try {
      fs.lchownSync(file, owner.uid, owner.gid);
    } catch (error) {
      if (!isRefusedOwner(error)) throw error;
      this.ownersRefused += 1;
    }
  }

  close(): void {
    for (const { fd } of this.#held.values()) fs.closeSync(fd);
    this.#held.clear();
    this.#idle.clear();
  }

  #open(path: RelativePath): HeldDirectory {
    const known = this.#held.get(path);
    if (known !== undefined) {
      known.users += 1;
      this.#idle.delete(path);
      return known;
    }
    const parentOf = parentPath(path);
    const parent = parentOf === null ? null : this.#open(parentOf);
    try {
      const held = { path, fd: this.#openOrMake(path, parent), users: 1 };
      this.#held.set(path, held);
      return held;
    } finally {
      if (parent !== null) this.#release(parent);
    }
  }

  #openOrMake(path: RelativePath, parent: HeldDirectory | null): number {
    const file = parent === null ? Buffer.from(this.#options.root) : placeIn(parent.fd, baseName(path));
    const flags = O_RDONLY | O_DIRECTORY | (parent === null ? 0 : O_NOFOLLOW);
    // In a directory that this restore made, only it makes anything.
    if (parent !== null && this.#made.has(parent.path) && !this.#visited.has(path)) {
      return this.#make(path, file, flags);
    }
    const fd = this.#openThere(path, file, flags);
    if (fd === null) return this.#make(path, file, flags);
    try {
      this.#openUp(path, fd);
      if (!this.#visited.has(path)) this.#findLeftovers(path, fd);
      this.#visited.add(path);
      return fd;
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  }

  /** Null when nothing is there. */
  #openThere(path: RelativePath, file: Buffer, flags: number): number | null {
    try {
      return fs.openSync(file, flags);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENOENT' && path !== rootPath) return null;
      if (code === 'ENOTDIR' || code === 'ELOOP') {
        throw new CodedError('RESTORE_CONFLICT', `${displayPath(path)} is there and is not a directory`, {
          cause: error,
        });
      }
      if (code !== 'EACCES' || !fs.lstatSync(file).isDirectory()) throw error;
      const mode = fs.lstatSync(file).mode & 0o7777;
      fs.chmodSync(file, mode | 0o700);
      this.#openedUp.set(path, mode);
      return fs.openSync(file, flags);
    }
  }

  /** Mode and owner are set already now: nothing is ever more open than it should be, and most need no second visit. */
  #make(path: RelativePath, file: Buffer, flags: number): number {
    fs.mkdirSync(file, 0o700);
    this.#made.add(path);
    this.#visited.add(path);
    const fd = fs.openSync(file, flags);
    const metadata = this.#planned.get(path)?.metadata ?? null;
    if (metadata === null) fs.fchmodSync(fd, modeWithoutRecord);
    else this.setOwnerAndMode(fd, metadata, metadata.mode | 0o700);
    return fd;
  }

  /** Only root writes into a directory whatever its mode. */
  #openUp(path: RelativePath, fd: number): void {
    if (this.#asRoot) return;
    const { mode, uid } = fs.fstatSync(fd);
    if (uid !== process.getuid?.() || (mode & 0o700) === 0o700) return;
    fs.fchmodSync(fd, (mode & 0o7777) | 0o700);
    if (!this.#openedUp.has(path)) this.#openedUp.set(path, mode & 0o7777);
  }

  #findLeftovers(path: RelativePath, fd: number): void {
    const names = fs.readdirSync(placeIn(fd, '.')).filter(isTemporaryName);
    if (names.length > 0) this.leftovers.set(path, new Set(names));
  }

  #release(held: HeldDirectory): void {
    held.users -= 1;
    if (held.users > 0) return;
    this.#idle.set(held.path, held);
    if (this.#idle.size <= idleDirectoriesMax) return;
    for (const oldest of this.#idle.values()) {
      this.#forget(oldest);
      return;
    }
  }

  #forget(held: HeldDirectory): void {
    if (!this.#idle.delete(held.path)) return;
    this.#held.delete(held.path);
    fs.closeSync(held.fd);
  }
}

/** Goes through /proc, as Node has no openat(2); by process number, so that a child process can use it as well. */
function placeIn(fd: number, name: string): Buffer {
  return Buffer.from(`/proc/${process.pid}/fd/${fd}/${name}`, 'latin1');
}

function isRefusedOwner(error: unknown): boolean {
  return ['EPERM', 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes(systemErrorCode(error) ?? '');
}
