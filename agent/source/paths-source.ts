import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';
import {
  displayPath,
  fsPath,
  isBelow,
  joinPath,
  parseRelativePath,
  type RelativePath,
} from '../../shared/records/relative-path.ts';
import { createIgnoreRules, type IgnoreRules } from '../ignore-rules.ts';
import { SourceFile, sourceFileRoomBytes } from './source-file.ts';
import type { PathsFacts, Source, SourceEntry } from './source.ts';

export type PathsSourceOptions = {
  /** Absolute paths of files and directories. */
  paths: readonly string[];
  /** gitignore patterns, case-sensitive, against the path without its leading slash. */
  ignored: readonly string[];
  /** More entries than this are a failure: such a tree is for a mirror folder. */
  entriesMax: number;
};

type Found = { path: RelativePath; stats: fs.BigIntStats; target: Buffer | null };

const skippedNamed = 100;
const entriesPerTurn = 64;

/**
 * Files and whole trees with modes, owners, links and times; entries are named by their absolute path without the
 * leading slash. A link that is itself one of the paths is followed, any other is kept as a link. What cannot be read
 * is skipped, counted and named in the facts: one bad file must not keep all others from being saved. Sockets, pipes and
 * devices are left out. One of the paths themselves that is missing or cannot be read fails the source: what vanished is not a deletion.
 * @throws CodedError CONFIG_INVALID (a path is not absolute)
 */
export class PathsSource implements Source {
  readonly #roots: RelativePath[];
  readonly #ignore: IgnoreRules;
  readonly #entriesMax: number;
  #lastFacts: PathsFacts | null = null;
  /** Files that failed half-way in an earlier run: tried out first, so that they do not fail every run. */
  readonly #unreadable = new Set<RelativePath>();

  constructor(options: Pick<PathsSourceOptions, 'paths'> & Partial<PathsSourceOptions>) {
    this.#roots = rootsOf(options.paths);
    this.#ignore = createIgnoreRules(options.ignored ?? []);
    this.#entriesMax = options.entriesMax ?? 100_000;
  }

  async describe(): Promise<PathsFacts> {
    if (this.#lastFacts !== null) return this.#lastFacts;
    const facts = emptyFacts();
    for await (const found of this.#walk(facts)) count(facts, found, Number(found.stats.size));
    return facts;
  }

  async *entries(signal: AbortSignal): AsyncGenerator<SourceEntry, void, void> {
    const facts = emptyFacts();
    const room = Buffer.allocUnsafeSlow(sourceFileRoomBytes);
    for await (const found of this.#walk(facts)) {
      if (signal.aborted) throw new CodedError('SOURCE_FAILED', 'reading the paths was cancelled');
      if (!found.stats.isFile()) {
        yield entryOf(found, found.stats, null, null);
        count(facts, found, 0);
        continue;
      }
      if (this.#unreadable.has(found.path)) {
        const reason = await tryOut(found.path, room, signal);
        if (reason !== null) {
          skip(facts, found.path, reason);
          continue;
        }
        this.#unreadable.delete(found.path);
      }
      yield* this.#fileEntry(found, facts, { room, signal });
    }
    this.#lastFacts = facts;
  }

  async fingerprint(): Promise<string> {
    const hash = createHash('sha256');
    const facts = emptyFacts();
    for await (const { path: name, stats, target } of this.#walk(facts)) {
      const fields = [stats.mode, stats.uid, stats.gid, stats.isDirectory() ? 0n : stats.size, stats.ino];
      hash.update(
        `${name}\0${fields.join(' ')} ${stats.mtimeNs} ${stats.ctimeNs} ${target?.toString('latin1') ?? ''}\0`,
      );
    }
    hash.update(JSON.stringify(facts.skipped));
    return hash.digest('hex');
  }

  async *#fileEntry(
    found: Found,
    facts: PathsFacts,
    { room, signal }: { room: Buffer; signal: AbortSignal },
  ): AsyncGenerator<SourceEntry, void, void> {
    const isRoot = this.#roots.includes(found.path);
    let file: SourceFile | null;
    try {
      file = SourceFile.open(absolute(found.path), room, { followLink: isRoot });
    } catch (error) {
      if (isRoot) throw unreadableRoot(found.path, error);
      skip(facts, found.path, systemErrorCode(error) ?? 'failed');
      return;
    }
    if (file === null) {
      // Deleted, or something else than a file, since it was listed.
      if (isRoot) throw unreadableRoot(found.path, null);
      return;
    }
    try {
      yield entryOf(found, file.stats, Number(file.stats.size), file.read(signal));
      if (!file.finished) {
        throw new CodedError('SOURCE_FAILED', `${displayPath(found.path)} was not read to its end`);
      }
      count(facts, found, file.bytesRead);
    } finally {
      if (file.failed && !isRoot) this.#unreadable.add(found.path);
      file.close();
    }
  }

  /** Everything below the roots in the order of their bytes, directories before what they hold. */
  async *#walk(facts: PathsFacts): AsyncGenerator<Found, void, void> {
    let found = 0;
    for (const root of this.#roots) {
      const pending: Found[] = [this.#openRoot(root)];
      for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
        if (++found > this.#entriesMax) {
          throw new CodedError(
            'SOURCE_FAILED',
            `there are more than ${this.#entriesMax} files in the paths`,
            {
              hint: 'make a mirror folder of a tree this large, or ignore a part of it',
            },
          );
        }
        // The walk is synchronous, which is ten times faster; others get their turn now and then.
        if (found % entriesPerTurn === 0) await nextTurn();
        yield next;
        if (!next.stats.isDirectory()) continue;
        pending.push(...this.#list(next.path, next.path === root, facts).toReversed());
      }
    }
  }

  #openRoot(root: RelativePath): Found {
    let stats: fs.BigIntStats;
    try {
      stats = fs.statSync(absolute(root), { bigint: true });
    } catch (error) {
      throw unreadableRoot(root, error);
    }
    if (!stats.isFile() && !stats.isDirectory()) throw unreadableRoot(root, null);
    return { path: root, stats, target: null };
  }

  #list(directory: RelativePath, isRoot: boolean, facts: PathsFacts): Found[] {
    let names: string[];
    try {
      names = fs.readdirSync(absolute(directory), { encoding: 'latin1' });
    } catch (error) {
      const code = systemErrorCode(error) ?? 'failed';
      if (isRoot) throw unreadableRoot(directory, error);
      if (code !== 'ENOENT') skip(facts, directory, code);
      return [];
    }
    const found: Found[] = [];
    for (const name of names.toSorted((a, b) => (a < b ? -1 : 1))) {
      const entry = this.#inspect(joinPath(directory, name), facts);
      if (entry !== null) found.push(entry);
    }
    return found;
  }

  #inspect(name: RelativePath, facts: PathsFacts): Found | null {
    try {
      const stats = fs.lstatSync(absolute(name), { bigint: true });
      if (this.#ignore.ignores(name, stats.isDirectory())) return null;
      if (stats.isFile() || stats.isDirectory()) return { path: name, stats, target: null };
      if (stats.isSymbolicLink()) {
        return { path: name, stats, target: fs.readlinkSync(absolute(name), { encoding: 'buffer' }) };
      }
      facts.specialFiles += 1;
    } catch (error) {
      const code = systemErrorCode(error) ?? 'failed';
      if (code !== 'ENOENT') skip(facts, name, code);
    }
    return null;
  }
}

/** Reads a file to its end; null when that works, or when there is nothing to read any more. */
async function tryOut(name: RelativePath, room: Buffer, signal: AbortSignal): Promise<string | null> {
  let file: SourceFile | null;
  try {
    file = SourceFile.open(absolute(name), room, { followLink: false });
  } catch (error) {
    return systemErrorCode(error) ?? 'failed';
  }
  if (file === null) return null;
  try {
    for await (const piece of file.read(signal)) if (piece.length === 0) break;
    return null;
  } catch (error) {
    if (!file.failed) throw error;
    return 'cannot be read to its end';
  } finally {
    file.close();
  }
}

function absolute(name: RelativePath): Buffer {
  return name === '' ? Buffer.from('/') : fsPath('', name);
}

function unreadableRoot(root: RelativePath, cause: unknown): CodedError {
  const reason = systemErrorCode(cause) ?? 'it is not a file or directory';
  return new CodedError('SOURCE_FAILED', `/${displayPath(root)} cannot be read: ${reason}`, {
    hint: 'when the path is really not wanted any more, take it out of the folder',
    cause,
  });
}

/** Sorted, without those that lie below others. */
function rootsOf(paths: readonly string[]): RelativePath[] {
  if (paths.length === 0) throw new CodedError('CONFIG_INVALID', 'a folder of paths has no path');
  const roots = paths.map((root) => {
    if (!path.isAbsolute(root)) throw new CodedError('CONFIG_INVALID', `the path "${root}" is not absolute`);
    return parseRelativePath(Buffer.from(path.resolve(root).slice(1), 'utf8'));
  });
  return [...new Set(roots)]
    .filter((root) => !roots.some((other) => isBelow(root, other)))
    .toSorted((a, b) => (a < b ? -1 : 1));
}

function entryOf(
  found: Found,
  stats: fs.BigIntStats,
  size: number | null,
  content: AsyncIterable<Buffer> | null,
) {
  const kind = found.target !== null ? 'symlink' : stats.isDirectory() ? 'directory' : 'file';
  return {
    path: found.path,
    kind,
    mode: Number(stats.mode) & 0o7777,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtimeNs: stats.mtimeNs,
    target: found.target,
    size,
    content,
  } satisfies SourceEntry;
}

function emptyFacts(): PathsFacts {
  return {
    kind: 'paths',
    files: 0,
    directories: 0,
    symlinks: 0,
    bytes: 0,
    specialFiles: 0,
    skippedFiles: 0,
    skipped: [],
  };
}

function count(facts: PathsFacts, found: Found, bytes: number): void {
  if (found.target !== null) facts.symlinks += 1;
  else if (found.stats.isDirectory()) facts.directories += 1;
  else {
    facts.files += 1;
    facts.bytes += bytes;
  }
}

function skip(facts: PathsFacts, name: RelativePath, reason: string): void {
  facts.skippedFiles += 1;
  if (facts.skipped.length < skippedNamed) facts.skipped.push({ path: name, reason });
}
