import type { Disk } from '../../shared/io/disk.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { openContent, type HeldCopy, type ReadableContent } from './readable-content.ts';
import { placeBelow, type StoreLayout } from './store-layout.ts';
import { isPlainWay } from './version-namer.ts';

type Deps = {
  disk: Disk;
  index: MirrorIndex;
  /** Copies in the other folders of the same agent; null: there are none, or no other folder. */
  copiesElsewhere: ((hash: Buffer) => readonly HeldCopy[]) | null;
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
  isSaidToBeHeld(hash: Buffer): boolean {
    return this.copies(hash).length > 0 || this.copiesElsewhere(hash).length > 0;
  }

  /** In `current/` and `versions/` of this folder, a few of each. */
  copies(hash: Buffer): HeldCopy[] {
    const { paths, names, size } = this.#deps.index.holders(hash);
    const ofSize = (content: ReadableContent | null): ReadableContent | null => {
      if (content === null || content.size === size) return content;
      content.close();
      return null;
    };
    return [
      ...paths.map((path) => () => ofSize(this.openCurrent(path))),
      ...names.map((name) => () => ofSize(this.#openBelow(this.#layout.versions, name))),
    ];
  }

  copiesElsewhere(hash: Buffer): readonly HeldCopy[] {
    return this.#deps.copiesElsewhere?.(hash) ?? [];
  }

  openCurrent(path: RelativePath): ReadableContent | null {
    return this.#openBelow(this.#layout.current, path);
  }

  /** What was found damaged at the path and set aside: most of it may be as it was. */
  openAside(path: RelativePath): ReadableContent | null {
    const aside = this.#deps.index.damage.get(path, null)?.aside ?? null;
    return aside === null ? null : this.#openBelow(this.#layout.damaged, aside);
  }

  /** All of it in memory; null when it is not there. */
  readCurrent(path: RelativePath): Buffer | null {
    const content = this.openCurrent(path);
    if (content === null) return null;
    try {
      return content.read(0, content.size);
    } finally {
      content.close();
    }
  }

  #openBelow(base: string, path: string): ReadableContent | null {
    if (!isPlainWay(this.#deps.disk, base, path)) return null;
    return openContent(this.#deps.disk, placeBelow(base, path));
  }
}
