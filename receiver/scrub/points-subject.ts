import type { PointScrub } from '../points/point-store.ts';
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
    return { next: null, found: mended.length, repaired: mended.length, extras };
  }

  async repair(): Promise<number> {
    return 0;
  }

  damage(): { count: number; names: readonly string[] } {
    const names = this.#deps.damaged();
    return { count: names.length, names };
  }

  isExtra(name: string): boolean {
    return this.#deps.extras().includes(name);
  }
}
