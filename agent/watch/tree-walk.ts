import fs, { type BigIntStats } from 'node:fs';
import { childPath, parentPath, rootPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { keyBehind, type KnownDirectory } from '../index/directory-table.ts';
import { isAbsence, openDirectoryBelow } from '../index/source-file.ts';
import { isSystemError, scanDirectory, type OpenDirectory } from './directory-scan.ts';
import { hasTimes, newestOfKnown, statOrNull } from './directory-times.ts';
import type { ScanSink } from './scan-sink.ts';

/** Directories that are read from the index at once; each has at most `quietEntriesMax` files that count. */
const pageDirectories = 64;

/**
 * The whole of a source compared with the index: the root, then every directory that the index knows, in the order of
 * their keys, so that each comes after the one that it is in. One with the times that it had when it was compared is not
 * opened: only the files that the index knows in it are asked whether they are as they were. Any other is compared
 * again, and directories that this finds and the index does not know are entered at once, with all that is below them.
 *
 * `root`: as configured; `realRoot`: without links. Whatever happens while it is under way, it opens nothing through a
 * link, and leaves what made way for something else to a look at the directory that holds it.
 */
export class TreeWalk {
  readonly #sink: ScanSink;
  readonly #root: string;
  readonly #realRoot: string;
  /** Those that need no visit of the pass, with all that is below them: they were entered, or are not there (any more). */
  readonly #done = new Set<RelativePath>();

  constructor(sink: ScanSink, root: string, realRoot: string) {
    this.#sink = sink;
    this.#root = root;
    this.#realRoot = realRoot;
  }

  /** Yields whenever the slice is over. Where the root cannot be read the system's error is thrown. */
  *run(): Generator<undefined, void> {
    const { directories } = this.#sink.index;
    let from = keyBehind(rootPath, false);
    yield* this.#visitRoot();
    for (;;) {
      const page = directories.page(from, pageDirectories);
      const last = page.at(-1);
      if (last === undefined) return;
      for (const directory of page) {
        if (this.#doneAbove(directory.path) === null) yield* this.#visit(directory);
        if (this.#sink.sliceIsOver()) yield;
      }
      const done = this.#doneAbove(last.path);
      from = done === null ? keyBehind(last.path, false) : keyBehind(done, true);
    }
  }

  *#visitRoot(): Generator<undefined, void> {
    const known = this.#sink.index.directories.page(Buffer.alloc(0), 1)[0];
    if (known?.path === rootPath && this.#isAsItWas(known)) return;
    const fd = openDirectoryBelow(this.#root, rootPath);
    try {
      const stat = fs.fstatSync(fd, { bigint: true });
      yield* this.#compare({ path: rootPath, fd, stat, parentStat: null });
    } finally {
      fs.closeSync(fd);
    }
  }

  *#visit(known: KnownDirectory): Generator<undefined, void> {
    if (this.#isAsItWas(known)) return;
    const { path } = known;
    let parentStat: BigIntStats | null = null;
    let fd: number | null = null;
    try {
      fd = openDirectoryBelow(this.#root, path, (open) => {
        parentStat = fs.fstatSync(open, { bigint: true });
      });
      yield* this.#compare({ path, fd, stat: fs.fstatSync(fd, { bigint: true }), parentStat });
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.#done.add(path);
      if (isAbsence(error)) this.#sink.lookAgain(parentPath(path) ?? rootPath);
      else this.#sink.unreadable(path, error, false);
    } finally {
      if (fd !== null) fs.closeSync(fd);
    }
  }

  #isAsItWas({ path, times, rows }: KnownDirectory): boolean {
    if (times === null) return false;
    const stat = statOrNull(this.#realRoot, path);
    if (stat === null || !hasTimes(stat, times)) return false;
    const newestNs = newestOfKnown(this.#realRoot, path, rows);
    if (newestNs === null) return false;
    this.#sink.listed(path, newestNs > stat.ctimeNs ? newestNs : stat.ctimeNs, rows.length);
    return true;
  }

  /** One directory; of those in it the ones that the pass would not come to. */
  *#compare(directory: OpenDirectory): Generator<undefined, void> {
    const sink = this.#sink;
    const { directories } = sink.index;
    const present = new Set<string>();
    yield* scanDirectory(sink, directory, (path, name, stat) => {
      present.add(name);
      const known = directories.get(path);
      if (known !== null) return known.times !== null && hasTimes(stat, known.times) ? 'never' : 'later';
      this.#leave(path);
      return 'now';
    });
    let name = directories.nextChild(directory.path, null);
    while (name !== null) {
      if (!present.has(name)) this.#leave(childPath(directory.path, name));
      if (sink.sliceIsOver()) yield;
      name = directories.nextChild(directory.path, name);
    }
  }

  #leave(path: RelativePath): void {
    this.#sink.note({ type: 'forgotten', path });
    this.#done.add(path);
  }

  /** The directory itself or one above it that needs no visit. */
  #doneAbove(directory: RelativePath): RelativePath | null {
    if (this.#done.size === 0) return null;
    for (let path: RelativePath | null = directory; path !== null; path = parentPath(path)) {
      if (this.#done.has(path)) return path;
    }
    return null;
  }
}
