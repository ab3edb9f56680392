import type { PointScrub } from '../points/point-book.ts';
import type { ScrubStep, ScrubSubject } from './scrubber.ts';

type Deps = {
  scrub(): Promise<PointScrub>;
  /** IDs of points that are lost. */
  damaged(): readonly string[];
  /** Names of files that are there now and that nobody stored. */
  extras(): readonly string[];
};

/** The restore points of one agent under the scrub; they are small, and read in one go. */
export class PointsSubject implements ScrubSubject {
  readonly key: string;
  readonly name: string;
  readonly remedy = 'put them back from another receiver, or "forget" the restore points';
  readonly #deps: Deps;

  constructor(deps: Deps, { key, name }: { key: string; name: string }) {
    this.#deps = deps;
    this.key = key;
    this.name = name;
  }

  bytes(): number {
    return 0;
  }

  async read(): Promise<ScrubStep> {
    const { mended, extras } = await this.#deps.scrub();
    return { next: null, found: mended, repaired: mended.length, extras };
  }

  async repair(): Promise<number> {
    return 0;
  }

  damage(): { count: number; names: readonly string[] } {
    const ids = this.#deps.damaged();
    return { count: ids.length, names: ids.map((id) => `${id}.json`) };
  }

  isExtra(name: string): boolean {
    return this.#deps.extras().includes(name);
  }
}
