import type { PointScrub } from '../points/point-store.ts';
import type { ScrubSubject } from './scrub-subject.ts';

type Deps = {
  scrub: () => Promise<PointScrub>;
  /** IDs of points that are lost. */
  damaged: () => readonly string[];
  /** Names of files that are there now and that nobody stored. */
  extras: () => readonly string[];
};

/** The restore points of one agent under the scrub; they are small, and read in one go. */
export function pointsSubject(
  { scrub, damaged, extras }: Deps,
  { key, name }: Pick<ScrubSubject, 'key' | 'name'>,
): ScrubSubject {
  return {
    key,
    name,
    remedy:
      'put both files back from another receiver and say "mastokeep-receiver scrub", or "forget" the restore point',
    bytes: () => 0,
    read: async () => {
      const { mended, extras: found } = await scrub();
      return {
        next: null,
        found: mended,
        repaired: mended.length,
        repairTried: true,
        lacksRoom: null,
        extras: found,
        again: 0,
        skipped: false,
      };
    },
    repair: async () => 0,
    damage: () => ({ count: damaged().length, names: damaged().map((id) => `${id}.json`) }),
    isExtra: (file) => extras().includes(file),
  };
}
