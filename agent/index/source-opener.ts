import fs from 'node:fs';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { displayPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { isAbsence, openDirectoryIn, openFileIn, openRoot, type SourceFile } from './source-file.ts';

/** No directory stays open for longer, however often it is used: it may have made way for another one. */
const keptMs = 200;

/**
 * Opens regular files below a root without following any link. The directories on the way to the last one stay open for a
 * moment, because the next file mostly lies near: in a tree like Mastodon's there are eight of them for each file.
 */
export class SourceOpener {
  readonly #root: string;
  /** The root (its name is empty), and each directory in the one before. */
  #way: { name: string; fd: number }[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(root: string) {
    this.#root = root;
  }

  /**
   * Null when there is no such file any more. The caller closes it.
   * @throws CodedError SOURCE_UNREADABLE
   */
  open(path: RelativePath): SourceFile | null {
    const isFresh = this.#way.length === 0;
    try {
      const file = this.#open(path);
      if (file !== null || isFresh) return file;
      // the way may lead through a directory that made way for another one
      this.release();
      return this.#open(path);
    } catch (error) {
      this.release();
      throw new CodedError('SOURCE_UNREADABLE', `cannot read "${displayPath(path)}"`, { cause: error });
    }
  }

  /** Closes what is open. */
  release(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const { fd } of this.#way.splice(0)) fs.closeSync(fd);
  }

  #open(path: RelativePath): SourceFile | null {
    const names = path.split('/');
    const name = names.pop() ?? '';
    try {
      return regularFile(openFileIn(this.#enter(names), name));
    } catch (error) {
      if (isAbsence(error)) return null;
      throw error;
    }
  }

  #enter(names: readonly string[]): number {
    const way = this.#way;
    if (way.length === 0) {
      way.push({ name: '', fd: openRoot(this.#root) });
      this.#timer = setTimeout(() => this.release(), keptMs).unref();
    }
    let common = 0;
    while (common < names.length && way[common + 1]?.name === names[common]) common += 1;
    for (const { fd } of way.splice(common + 1)) fs.closeSync(fd);
    for (const name of names.slice(common)) {
      way.push({ name, fd: openDirectoryIn(way.at(-1)?.fd ?? -1, name) });
    }
    return way.at(-1)?.fd ?? -1;
  }
}

/** The open file with its size; null, and it is closed, where it is no regular file. */
function regularFile(fd: number): SourceFile | null {
  let isKept = false;
  try {
    const stat = fs.fstatSync(fd);
    isKept = stat.isFile();
    return isKept ? { fd, size: stat.size, close: () => fs.closeSync(fd) } : null;
  } finally {
    if (!isKept) fs.closeSync(fd);
  }
}

/**
 * Opens a single file as `SourceOpener` does; null when there is none any more.
 * @throws CodedError SOURCE_UNREADABLE
 */
export function openSourceFile(root: string, path: RelativePath): SourceFile | null {
  const opener = new SourceOpener(root);
  try {
    return opener.open(path);
  } finally {
    opener.release();
  }
}
