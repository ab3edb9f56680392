import { hash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { ifThere } from './if-there.ts';
import { listFiles } from './tree-compare.ts';

/** Every content that each path of a tree has ever had, so that a copy can be judged in the middle of changes. */
export class ContentHistory {
  readonly #root: string;
  readonly #contents = new Map<string, Set<string>>();

  /** Knows what is in `root` now. */
  constructor(root: string) {
    this.#root = root;
    for (const file of listFiles(root)) this.note(file.path);
  }

  /** To be called after every write to `path` (a latin1 byte string relative to the root). */
  note(path: string): void {
    const known = this.#contents.get(path) ?? new Set();
    known.add(hashOf(this.#root, path));
    this.#contents.set(path, known);
  }

  /**
   * Files of a copy whose path or content the tree never had: half-written, mixed up or made up. What goes while it looks,
   * because the receiver lives, is none.
   */
  strangersIn(copy: string): string[] {
    if (!fs.existsSync(copy)) return [];
    return listFiles(copy)
      .map((file) => file.path)
      .filter((path) => {
        const content = ifThere(() => hashOf(copy, path));
        return content !== null && this.#contents.get(path)?.has(content) !== true;
      });
  }
}

function hashOf(root: string, file: string): string {
  const name = Buffer.concat([Buffer.from(root + path.sep), Buffer.from(file, 'latin1')]);
  return hash('sha256', fs.readFileSync(name));
}
