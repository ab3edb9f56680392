import type { Disk, DiskPath } from '../../shared/io/disk.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { FileRecord, FileState } from '../../shared/records/file-record.ts';
import { displayPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { BatchWriter, StagedContent } from './batch-writer.ts';
import type { BooksInput, BooksVerdict } from './books-check.ts';
import type { Pace } from './content-check.ts';
import type { Damage } from './damage-index.ts';
import type { BeginEntry, DamageEntry, DamageKind } from './journal-entry.ts';
import type { Journal } from './journal.ts';
import { checkLong, checkTwice, type HalfLook, type LongCheck } from './long-check.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { PutBackFiles } from './put-back-files.ts';
import { resumableSha256 } from './resumable-sha256.ts';
import type { ScrubLimits } from './scrub-limits.ts';
import type { Staging } from './staging.ts';
import { placeBelow, type StoreLayout } from './store-layout.ts';
import type { StorePlace } from './store-place.ts';
import {
  damageEntry,
  fileOf,
  itemAt,
  liveItem,
  liveItemAt,
  recordOf,
  versionItem,
  versionItemAt,
  type StoredItem,
} from './stored-item.ts';
import { walkTree } from './tree-walk.ts';
import { freeNameBelow, isPlainWay } from './version-namer.ts';

/** What a scrub has to know of a kind of store. */
export type ScrubbedKind = {
  /** Stages a verified copy of content that is held in another place. */
  stageHeld: (hash: Buffer, size: number) => Promise<boolean>;
  /** The object at the path was found damaged, durably, or is whole again. */
  onDamaged: (path: RelativePath) => void;
  onMended: (path: RelativePath) => void;
  /** What is wrong with what the database has beside the rows; null: nothing. Nothing else happens in the store meanwhile. */
  booksProblem: () => Promise<string | null>;
};

type Deps = ScrubbedKind & {
  disk: Disk;
  layout: StoreLayout;
  databasePath: string;
  index: MirrorIndex;
  journal: Journal;
  writer: BatchWriter;
  staging: Staging;
  place: StorePlace;
  logger: Logger;
  scrubLimits: ScrubLimits;
  oneByOne: <T>(action: () => Promise<T>) => Promise<T>;
  begin: () => BeginEntry;
  /** Fills in `temp` of each from what is staged; the bytes. */
  claim: (contents: readonly StagedContent[]) => Promise<number>;
};

/** Behind something, or in the middle of it, which is a long file. */
export type ScrubPlace<At> = { behind: At } | { in: At; half: HalfLook };
/**
 * `next`: where the next page begins; null: there is none. `found`: the files that are damaged and of which nobody knew.
 * `again`: so many of the bytes that were read in this pass count for nothing: they are read once more. `skipped`: a file
 * could not be read through.
 */
export type ScrubPage<At> = {
  next: ScrubPlace<At> | null;
  found: readonly FoundDamage[];
  again: number;
  skipped: boolean;
};
/** `id`: of a version; null for the live file of the path. */
export type FoundDamage = { path: RelativePath; id: number | null; found: DamageKind };

type Suspect = StoredItem & { found: DamageKind; identity: string | null };
/** `last`: what was looked at last, as far as `half` says (null: it is through). */
type Looked = {
  last: StoredItem | null;
  half: HalfLook | null;
  found: readonly FoundDamage[];
  again: number;
  skipped: boolean;
};

const rowsAtOnce = 64;
const namesAtOnce = 500;
/** Directories that nobody has looked at for a month keep a disk busy, and the program waits for it. */
const namesPerPace = 16;
/** What a name costs, in bytes that are read in that time. */
const bytesPerName = 4096;

/**
 * Re-reads what a store holds, a page at a time, while batches come and versions expire; what is damaged is noted in the
 * journal and set aside, and made whole where that content is to be had. What changes while it is read is no damage.
 * @see docs/scrub.md
 */
export class StoreScrub {
  readonly #deps: Deps;
  readonly #putBack: PutBackFiles;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#putBack = new PutBackFiles(deps.disk);
  }

  /** How many stored files are known to be damaged. */
  get damagedCount(): number {
    return this.#deps.index.damage.count;
  }

  /** By path, behind the last one of a page. */
  damaged(after: Damage | null, limit: number): Damage[] {
    return this.#deps.index.damage.after(after, limit);
  }

  /** Live files from there on (null: from the first one on). @throws CodedError DISK_FAILED, STORE_FULL */
  async files(from: ScrubPlace<RelativePath> | null, pace: Pace): Promise<ScrubPage<RelativePath>> {
    const { index } = this.#deps;
    if (from !== null && 'in' in from) {
      const page = await this.#look([liveItemAt(index, from.in)], from.half, pace);
      return pageOf(page, from.in);
    }
    const rows = index.liveAfter(from?.behind ?? null, rowsAtOnce);
    const { last, ...page } = await this.#look(rows.map(liveItem), null, pace);
    return pageOf(page, last?.path ?? null);
  }

  /** Files of versions from there on, by id. @throws CodedError DISK_FAILED, STORE_FULL */
  async versions(from: ScrubPlace<number> | null, pace: Pace): Promise<ScrubPage<number>> {
    const { intervals } = this.#deps.index;
    if (from !== null && 'in' in from) {
      const page = await this.#look([versionItemAt(this.#deps.index, from.in)], from.half, pace);
      return pageOf(page, from.in);
    }
    const rows = intervals.versionsWithFiles(from?.behind ?? 0, rowsAtOnce);
    const { last, ...page } = await this.#look(rows.map(versionItem), null, pace);
    return pageOf(page, last?.id ?? null);
  }

  /** Files behind that path of the store's directory that the index does not know; they are left alone. */
  async extras(after: string | null, pace: Pace): Promise<{ next: string | null; extras: string[] }> {
    const names: string[] = [];
    for (const name of this.#walk(after)) {
      names.push(name);
      if (names.length >= namesAtOnce) break;
      if (names.length % namesPerPace === 0) await pace(namesPerPace * bytesPerName);
    }
    const next = names.length < namesAtOnce ? null : (names.at(-1) ?? null);
    const unknown = names.filter((name) => !this.#isKnown(name));
    if (unknown.length === 0) return { next, extras: [] };
    // a batch puts its files in place before the index knows of them
    const extras = await this.#deps.oneByOne(async () => unknown.filter((name) => this.isExtra(name)));
    return { next, extras };
  }

  /** Whether a path of the store's directory still is there and known to nobody. */
  isExtra(name: string): boolean {
    const { disk, layout } = this.#deps;
    return disk.stat(placeBelow(layout.root, name)) !== null && !this.#isKnown(name);
  }

  /**
   * Makes damaged files whole of which the content is held in another place, or has been staged. `lacking`: live files whose
   * content only the agent can give. What `between` throws ends it between two pieces of a file.
   * @throws CodedError QUOTA_REACHED, STORE_FULL, DISK_FAILED
   */
  async mend(
    after: Damage | null,
    limit: number,
    between: () => Promise<void>,
  ): Promise<{ mended: number; lacking: FileRecord[]; next: Damage | null }> {
    const { index, stageHeld } = this.#deps;
    const damaged = index.damage.after(after, limit);
    const page = {
      lacking: [] as FileRecord[],
      next: damaged.length < limit ? null : (damaged.at(-1) ?? null),
    };
    const whole: StoredItem[] = [];
    const staged: StoredItem[] = [];
    for (const damage of damaged) {
      const item = itemAt(index, damage);
      const state = item === null ? null : fileOf(item.holding);
      if (item === null || state === null) continue;
      if (await this.#putBack.isWhole(...this.#placeOf(item), state, between)) whole.push(item);
      else if (await stageHeld(state.hash, state.size)) staged.push(item);
      else if (item.id === null) page.lacking.push(recordOf(item, state));
    }
    await this.#note([], whole);
    return { ...page, mended: whole.length + (await this.#put(staged)) };
  }

  /** Compares journal and database. `examine` calls back as soon as what it reads cannot change any more. */
  async books(
    examine: (input: BooksInput, onBegun: () => void) => Promise<BooksVerdict>,
  ): Promise<BooksVerdict | 'moved'> {
    const { databasePath, journal, layout, oneByOne } = this.#deps;
    const started = await oneByOne(async () => {
      const segments = [...journal.segments];
      const input = { databasePath, directory: layout.journal, segments, mark: journal.mark };
      const begun = Promise.withResolvers<void>();
      const verdict = examine(input, begun.resolve);
      verdict.then(
        () => begun.resolve(),
        () => begun.resolve(),
      );
      await begun.promise;
      return { segments, verdict };
    });
    // a snapshot has taken the place of what was being read
    const isMoved = (): boolean => started.segments.some((segment) => !journal.segments.includes(segment));
    try {
      const verdict = await started.verdict;
      if (verdict.journal !== null) return isMoved() ? 'moved' : verdict;
      return {
        ...verdict,
        database: verdict.database ?? (await oneByOne(async () => this.#deps.booksProblem())),
      };
    } catch (error) {
      if (isMoved()) return 'moved';
      throw error;
    }
  }

  /** Writes a damaged journal anew from the database. @throws CodedError DISK_FAILED, STORE_FULL */
  async renewJournal(): Promise<void> {
    await this.#deps.oneByOne(async () => this.#deps.writer.renewJournal());
  }

  /** `half`: how far the looking at the only one of them is; null: at each from its beginning. */
  async #look(items: readonly (StoredItem | null)[], half: HalfLook | null, pace: Pace): Promise<Looked> {
    const { index, scrubLimits } = this.#deps;
    const [suspects, whole]: [Suspect[], StoredItem[]] = [[], []];
    const looked: Omit<Looked, 'found'> = { last: null, half: null, again: 0, skipped: false };
    let read = 0;
    for (const item of items) {
      if (read >= scrubLimits.page) break;
      looked.last = item;
      const state = item === null ? null : fileOf(item.holding);
      if (item === null || state === null) continue;
      const check = await this.#check(item, state, half, pace);
      read += state.size;
      looked.again += check.again;
      looked.half = check.half;
      this.#deps.writer.assertUsable();
      if (check.half !== null) break;
      if (typeof check.verdict === 'string') {
        looked.skipped ||= check.verdict === 'changing';
        continue;
      }
      const { found, identity } = check.verdict;
      const known = index.damage.get(item.path, item.id);
      if (found === null) {
        if (known !== null) whole.push(item);
      } else if (known === null) suspects.push({ ...item, found, identity });
    }
    return { ...looked, found: await this.#note(suspects, whole) };
  }

  /** Looks twice: what a cable or the memory garbled once is no damage. */
  async #check(item: StoredItem, wanted: FileState, half: HalfLook | null, pace: Pace): Promise<LongCheck> {
    const { disk, logger, scrubLimits } = this.#deps;
    const [base, path] = this.#placeOf(item);
    const isLong = half !== null || wanted.size >= scrubLimits.longFile;
    const sha256 = isLong ? await resumableSha256(logger) : null;
    const file = { disk, base, path, wanted, stretchBytes: scrubLimits.page };
    const check =
      sha256 === null ? await checkTwice(file, half, pace) : await checkLong(file, half, sha256, pace);
    if (check.half !== null) return check;
    const name = displayPath(item.path);
    if (check.verdict === 'changing')
      logger.warn({ path: name }, 'a file cannot be read through, because it is changed all the time');
    else if (check.verdict !== 'replaced' && check.verdict.found === null && check.first !== null)
      logger.warn({ path: name, found: check.first }, 'a file was read wrong once and right then');
    return check;
  }

  /** Writes down what is damaged and what is whole again; gives what was damaged that nobody knew of. */
  async #note(suspects: readonly Suspect[], whole: readonly StoredItem[]): Promise<FoundDamage[]> {
    if (suspects.length === 0 && whole.length === 0) return [];
    const { begin, index, logger, onDamaged, onMended, oneByOne, place, writer } = this.#deps;
    return oneByOne(async () => {
      place.assertThere();
      const opening = begin();
      const taken = new Set<string>();
      const found = suspects.filter((suspect) => this.#isStill(suspect));
      const damaged = found.map((suspect) => {
        const aside = suspect.identity === null ? null : this.#asideName(suspect, opening.at, taken);
        return damageEntry(suspect, suspect.found, opening.at, aside);
      });
      const mended = whole.flatMap((item): DamageEntry[] => {
        const known = index.damage.get(item.path, item.id);
        return known === null ? [] : [damageEntry(item, null, opening.at, known.aside)];
      });
      if (damaged.length + mended.length === 0) return [];
      await writer.write(opening, [...damaged, ...mended], []);
      for (const { path, id, found: kind } of found) {
        logger.error({ path: displayPath(path), id, found: kind }, 'a stored file is damaged');
        if (id === null) onDamaged(path);
      }
      for (const { path, id } of mended) if (id === null) onMended(path);
      return found;
    });
  }

  /** Puts staged content in the place of what was damaged; how many files are whole again. */
  async #put(items: readonly StoredItem[]): Promise<number> {
    if (items.length === 0) return 0;
    const { begin, claim, index, logger, onMended, oneByOne, staging, writer } = this.#deps;
    return oneByOne(async () => {
      const contents = items.flatMap((item) => {
        const damage = index.damage.get(item.path, item.id);
        return damage === null || !this.#isSameRow(item)
          ? []
          : [{ ...item, damage, temp: null as string | null }];
      });
      if (contents.length === 0) return 0;
      const bytes = await claim(contents);
      const opening = begin();
      const entries = contents.map((content) => ({
        ...damageEntry(content, null, opening.at, content.damage.aside),
        temp: content.temp,
      }));
      await writer.write(opening, entries, contents);
      staging.committed(bytes);
      for (const { path, id } of entries) {
        logger.info({ path: displayPath(path), id }, 'a damaged file is whole again');
        if (id === null) onMended(path);
      }
      return entries.length;
    });
  }

  /** Whether the file that was looked at still is what the row means, and nobody knows yet. */
  #isStill(suspect: Suspect): boolean {
    const { disk, index } = this.#deps;
    if (!this.#isSameRow(suspect) || index.damage.get(suspect.path, suspect.id) !== null) return false;
    const [base, name] = this.#placeOf(suspect);
    const found = isPlainWay(disk, base, name) ? disk.stat(placeBelow(base, name)) : null;
    return (found?.identity ?? null) === suspect.identity;
  }

  #isSameRow({ path, id, holding }: StoredItem): boolean {
    const now = itemAt(this.#deps.index, { path, id })?.holding;
    const [before, after] = [fileOf(holding), now === undefined ? null : fileOf(now)];
    if (before === null || after === null) return false;
    return before.hash.equals(after.hash) && now?.receivedAt === holding.receivedAt;
  }

  #asideName(item: StoredItem, at: number, taken: Set<string>): string {
    const { disk, layout } = this.#deps;
    const [, name] = this.#placeOf(item);
    const aside = freeNameBelow(disk, layout.damaged, name, at, taken);
    taken.add(aside);
    return aside;
  }

  #placeOf({ path, name }: StoredItem): [base: DiskPath, name: RelativePath] {
    const { layout } = this.#deps;
    return name === null ? [layout.current, path] : [layout.versions, name as RelativePath];
  }

  *#walk(after: string | null): Generator<string> {
    const { disk, layout } = this.#deps;
    const from = after?.split('/', 1)[0] ?? '';
    for (const top of disk.list(layout.root)) {
      if (top < from || layout.unscanned.has(top)) continue;
      const base = placeBelow(layout.root, top);
      if (disk.stat(base)?.kind !== 'directory') {
        if (top !== after) yield top;
        continue;
      }
      const behind = after !== null && top === from ? after.slice(top.length + 1) : null;
      const isKnown = (path: string): boolean => this.#isKnown(`${top}/${path}`);
      for (const path of walkTree({ disk, base, isKnown }, behind)) yield `${top}/${path}`;
    }
  }

  #isKnown(name: string): boolean {
    const { index, journal, layout } = this.#deps;
    const path = name.slice(name.indexOf('/') + 1);
    if (name.startsWith('journal/')) return journal.isOwnName(path);
    const isLive = (path: string): boolean => index.live(path as RelativePath)?.holding.state.kind === 'file';
    if (layout.current === layout.root) return isLive(name);
    if (name.startsWith('current/')) return isLive(path);
    return name.startsWith('versions/') && index.isVersionName(path);
  }
}

function pageOf<At>({ half, found, again, skipped }: Omit<Looked, 'last'>, at: At | null): ScrubPage<At> {
  const page = { found, again, skipped };
  if (at === null) return { ...page, next: null };
  return { ...page, next: half === null ? { behind: at } : { in: at, half } };
}
