import { FolderSubject } from '../../receiver/scrub/folder-subject.ts';
import type { ScrubPosition } from '../../receiver/scrub/scrub-position.ts';
import type { ScrubStep } from '../../receiver/scrub/scrub-subject.ts';
import { checkBooks } from '../../receiver/store/books-check.ts';
import type { StoreScrub } from '../../receiver/store/store-scrub.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';

type Scrubbed = { scrub: StoreScrub; usage(): { bytes: number; versions: number } };

export type PassResult = {
  found: number;
  repaired: number;
  extras: string[];
  steps: number;
  books: string[];
};

export type PassOptions = {
  fetchAgain?: (records: readonly FileRecord[]) => Promise<boolean>;
  rebuild?: () => Promise<unknown>;
  /** Called before each step, with where it stands. */
  beforeStep?: (at: ScrubPosition | null) => Promise<void>;
  /** Called between two pieces that are read. */
  pace?: () => Promise<void>;
};

/** One whole pass over a store, in this process. `store` is asked for anew at each step. */
export async function scrubPass(store: () => Scrubbed, options: PassOptions = {}): Promise<PassResult> {
  const total: PassResult = { found: 0, repaired: 0, extras: [], steps: 0, books: [] };
  for (let at: ScrubPosition | null = null; ;) {
    await options.beforeStep?.(at);
    const step: ScrubStep = await subjectOf(store(), options, total.books).read(
      at,
      options.pace ?? (async () => {}),
    );
    total.found += step.found.length;
    total.repaired += step.repaired;
    total.extras.push(...step.extras);
    total.steps += 1;
    if (step.next === null) return total;
    at = step.next;
  }
}

/** A store as the scrub sees it, whose journal and database are compared at once. */
export function subjectOf(
  store: Scrubbed,
  { fetchAgain, rebuild }: PassOptions = {},
  books: string[] = [],
): FolderSubject {
  return new FolderSubject(
    {
      store,
      fetchAgain: fetchAgain ?? (async () => false),
      rebuild:
        rebuild ??
        (async () => {
          throw new Error('nothing is to be made anew');
        }),
      checkBooks: async (input, onBegun) => checkBooks({ disk: nodeDisk, onBegun, pause: () => {} }, input),
      onBooks: (code) => {
        books.push(code);
        return () => books.push('over');
      },
    },
    { key: 'media', name: 'folder media' },
  );
}
