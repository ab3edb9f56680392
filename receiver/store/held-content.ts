import type { Disk } from '../../shared/io/disk.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { openContent, type ReadableContent } from './readable-content.ts';
import { placeBelow, type StoreLayout } from './store-layout.ts';
import { isPlainWay } from './version-namer.ts';

type Deps = {
  disk: Disk;
  index: MirrorIndex;
  /** Content from another folder of the same agent; null: there is none, or no other folder. */
  findElsewhere: ((hash: Buffer, size: number) => ReadableContent | null) | null;
};

/** Finds content by its hash, and opens it without following links. What it opens is not verified. */
export class HeldContent {
  readonly #deps: Deps;
  readonly #layout: StoreLayout;

  constructor(deps: Deps, layout: StoreLayout) {
    this.#deps = deps;
    this.#layout = layout;
  }

  /** By the index alone, which a damaged disk may contradict. */
  isSaidToBeHeld(hash: Buffer, size: number): boolean {
    const { paths, names } = this.#deps.index.holders(hash);
    if (paths.length > 0 || names.length > 0) return true;
    const elsewhere = this.#deps.findElsewhere?.(hash, size) ?? null;
    elsewhere?.close();
    return elsewhere !== null;
  }

  /** All places to try, one after the other, in this folder and then the others. The caller closes each. */
  *sources(hash: Buffer, size: number): Generator<ReadableContent> {
    yield* this.#ownSources(hash);
    const elsewhere = this.#deps.findElsewhere?.(hash, size) ?? null;
    if (elsewhere !== null) yield elsewhere;
  }

  /** From `current/` or `versions/` of this folder, of that size if it is told. */
  open(hash: Buffer, size: number | null): ReadableContent | null {
    for (const source of this.#ownSources(hash)) {
      if (size === null || source.size === size) return source;
      source.close();
    }
    return null;
  }

  openCurrent(path: RelativePath): ReadableContent | null {
    return this.#openBelow(this.#layout.current, path);
  }

  *#ownSources(hash: Buffer): Generator<ReadableContent> {
    const { paths, names } = this.#deps.index.holders(hash);
    for (const path of paths) {
      const content = this.#openBelow(this.#layout.current, path);
      if (content !== null) yield content;
    }
    for (const name of names) {
      const content = this.#openBelow(this.#layout.versions, name);
      if (content !== null) yield content;
    }
  }

  #openBelow(base: string, path: string): ReadableContent | null {
    if (!isPlainWay(this.#deps.disk, base, path)) return null;
    return openContent(this.#deps.disk, placeBelow(base, path));
  }
}
