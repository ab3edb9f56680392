import { isCoded } from '../../shared/errors/coded-error.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import { displayPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { BooksInput, BooksVerdict } from '../store/books-check.ts';
import { bytesPerFile, type Pace } from '../store/content-check.ts';
import type { Damage } from '../store/damage-index.ts';
import { yieldToOthers } from '../store/journal.ts';
import type { HalfLook } from '../store/long-check.ts';
import type { FoundDamage, ScrubPage, ScrubPlace, StoreScrub } from '../store/store-scrub.ts';
import { inFile, type ScrubPosition } from './scrub-position.ts';
import { lacksRoom, ScrubInterrupted, type ScrubStep, type ScrubSubject } from './scrub-subject.ts';

type Deps = {
  store: {
    scrub: StoreScrub;
    usage(): { bytes: number; versionBytes?: number; files?: number; versions: number };
  };
  /** Asks the agent once more for what it announced; what came is staged. False: nothing came. */
  fetchAgain: (records: readonly FileRecord[]) => Promise<boolean>;
  /** Opens the store anew with a database made from the plain files. */
  rebuild: () => Promise<unknown>;
  checkBooks: (input: BooksInput, onBegun: () => void) => Promise<BooksVerdict>;
  /** Says that something is wrong with the books, and that it is over. */
  onBooks: (code: 'JOURNAL_DAMAGED' | 'DATABASE_CORRUPT', what: string) => () => void;
};

const nothing = {
  found: [],
  repaired: 0,
  repairTried: false,
  lacksRoom: null,
  extras: [],
  again: 0,
  skipped: false,
};
const mendsAtOnce = 100;
const namesShownMax = 20;

/**
 * The store of one folder under the scrub: journal and database first, since they say what has to be there; then the files,
 * the versions, and what nobody knows.
 */
export class FolderSubject implements ScrubSubject {
  readonly key: string;
  readonly name: string;
  readonly remedy = 'asked for again where that helps';
  readonly #deps: Deps;

  constructor(deps: Deps, { key, name }: { key: string; name: string }) {
    this.#deps = deps;
    this.key = key;
    this.name = name;
  }

  bytes(): number {
    const { bytes, versionBytes = 0, files = 0, versions } = this.#deps.store.usage();
    return bytes + versionBytes + (files + versions) * bytesPerFile;
  }

  async read(at: ScrubPosition | null, pace: Pace): Promise<ScrubStep> {
    const { scrub } = this.#deps.store;
    const half = typeof at === 'string' ? null : at;
    const [stage, name] = splitAt(typeof at === 'string' ? at : (at?.in ?? null));
    switch (stage) {
      case 'files': {
        const page = await scrub.files(placeOf(name as RelativePath | null, half), pace);
        return this.#step(page, nextOf(page, 'files', 'versions'), pace);
      }
      case 'versions': {
        const page = await scrub.versions(placeOf(name === null ? null : Number(name), half), pace);
        return this.#step(page, nextOf(page, 'versions', 'extras'), pace);
      }
      case 'extras': {
        const { next, extras } = await scrub.extras(name, pace);
        return { ...nothing, extras, next: next === null ? null : `extras:${next}` };
      }
      default:
        return this.#books();
    }
  }

  async repair(between: () => Promise<void>): Promise<number> {
    const { scrub } = this.#deps.store;
    const before = scrub.damagedCount;
    let after: Damage | null = null;
    while (scrub.damagedCount > 0) {
      const { lacking, next }: Awaited<ReturnType<StoreScrub['mend']>> = await scrub.mend(
        after,
        mendsAtOnce,
        between,
      );
      if (lacking.length > 0 && (await this.#fetchAgain(lacking)))
        await scrub.mend(after, mendsAtOnce, between);
      if (next === null) break;
      after = next;
      await yieldToOthers();
    }
    return before - scrub.damagedCount;
  }

  damage(): { count: number; names: readonly string[] } {
    const { scrub } = this.#deps.store;
    const names = scrub.damaged(null, namesShownMax).map(describeDamage);
    return { count: scrub.damagedCount, names };
  }

  isExtra(name: string): boolean {
    return this.#deps.store.scrub.isExtra(name);
  }

  async #step(
    { found, again, skipped }: ScrubPage<unknown>,
    next: ScrubPosition,
    pace: Pace,
  ): Promise<ScrubStep> {
    const step = { ...nothing, again, skipped, next };
    if (found.length === 0) return step;
    return { ...step, found: found.map(describeDamage), ...(await this.#repairWhereRoom(pace)) };
  }

  /** What lacks room is tried again later; reading goes on. */
  async #repairWhereRoom(pace: Pace): Promise<Pick<ScrubStep, 'repaired' | 'repairTried' | 'lacksRoom'>> {
    const { scrub } = this.#deps.store;
    const before = scrub.damagedCount;
    try {
      return { repaired: await this.repair(async () => pace(0)), repairTried: true, lacksRoom: null };
    } catch (error) {
      // what was found counts all the same, and what was made whole until then
      const repaired = before - scrub.damagedCount;
      if (lacksRoom(error)) return { repaired, repairTried: false, lacksRoom: error.message };
      if (error instanceof ScrubInterrupted) return { repaired, repairTried: false, lacksRoom: null };
      throw error;
    }
  }

  async #books(): Promise<ScrubStep> {
    const { checkBooks, onBooks, store } = this.#deps;
    const verdict = await store.scrub.books(checkBooks);
    if (verdict === 'moved') return { ...nothing, next: 'books' };
    const { journal, database } = verdict;
    if (journal === null && database === null) return { ...nothing, next: 'files' };
    if (database !== null) {
      const onOver = onBooks('DATABASE_CORRUPT', database);
      await this.#deps.rebuild();
      onOver();
      return { ...nothing, found: [`the database (${database})`], repaired: 1, next: 'files' };
    }
    const where = `segment ${journal?.segment} is damaged at byte ${journal?.offset}`;
    const onOver = onBooks('JOURNAL_DAMAGED', where);
    await store.scrub.renewJournal();
    onOver();
    return { ...nothing, found: [`the journal (${where})`], repaired: 1, next: 'files' };
  }

  async #fetchAgain(records: readonly FileRecord[]): Promise<boolean> {
    try {
      return await this.#deps.fetchAgain(records);
    } catch (error) {
      // the link has ended: another one will come
      if (isCoded(error) && error.code.startsWith('LINK_')) return false;
      throw error;
    }
  }
}

function describeDamage({ path, id, found }: FoundDamage): string {
  const what = id === null ? displayPath(path) : `an older version of ${displayPath(path)}`;
  return `${what} (${describeFound[found]})`;
}

const describeFound = {
  missing: 'missing',
  size: 'of another size',
  content: 'changed',
  unreadable: 'unreadable',
} as const;

/** `name` null: before everything; `half`: in the middle of what has the name; null: behind it. */
function placeOf<At>(name: At | null, half: HalfLook | null): ScrubPlace<At> | null {
  if (name === null) return null;
  return half === null ? { behind: name } : { in: name, half };
}

function nextOf({ next }: ScrubPage<string | number>, stage: string, following: string): ScrubPosition {
  if (next === null) return following;
  return 'in' in next ? inFile(`${stage}:${next.in}`, next.half) : `${stage}:${next.behind}`;
}

/** `name`: null at the beginning of a stage; the root of a folder has the path ''. */
function splitAt(at: string | null): [stage: string, name: string | null] {
  if (at === null) return ['books', null];
  const colon = at.indexOf(':');
  return colon < 0 ? [at, null] : [at.slice(0, colon), at.slice(colon + 1)];
}
