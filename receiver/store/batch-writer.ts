import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import { crashPoint } from '../../shared/io/crash-point.ts';
import type { Disk } from '../../shared/io/disk.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { additionsOf, type BatchFiles } from './batch-files.ts';
import type { BeginEntry, ChangeEntry, Holding, JournalEntry } from './journal-entry.ts';
import type { Journal } from './journal.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { snapshotEntries } from './snapshot-entries.ts';
import type { StoreLayout } from './store-layout.ts';
import type { StorePlace } from './store-place.ts';
import { carryOut, type IntentBatch } from './tree-writer.ts';
import type { VersionNamer } from './version-namer.ts';

type Deps = {
  disk: Disk;
  files: BatchFiles;
  logger: Logger;
  index: MirrorIndex;
  journal: Journal;
  namer: VersionNamer;
  place: StorePlace;
};

/** Content that waits in `incoming/` under the name `temp` for its place. */
export type StagedContent = { temp: string | null; holding: Holding };

/**
 * Takes batches through the write path, one at a time. Any failure in it is final: what the system says of pages whose
 * sync failed can no longer be believed, so the store has to be opened again, which reads them anew.
 * @see docs/storage-format.md#write-path
 */
export class BatchWriter {
  readonly #deps: Deps;
  readonly #layout: StoreLayout;
  #failure: unknown = null;

  constructor(deps: Deps, layout: StoreLayout) {
    this.#deps = deps;
    this.#layout = layout;
  }

  get hasFailed(): boolean {
    return this.#failure !== null;
  }

  /** @throws CodedError with the code of the first failure, if there was one */
  assertUsable(): void {
    if (this.#failure === null) return;
    const code = isCoded(this.#failure) ? this.#failure.code : 'DISK_FAILED';
    throw new CodedError(code, 'the store failed in an earlier batch and has to be opened again', {
      hint: 'look at the first error in the log; opening the store again recovers it',
      cause: this.#failure,
    });
  }

  /**
   * The batch is durable when it resolves. `contents`: the changes whose `temp` waits in `incoming/`. `onIndexed` keeps
   * what else is derived from the journal; its failure is one of the batch.
   */
  async write(
    begin: BeginEntry,
    changes: ChangeEntry[],
    contents: readonly StagedContent[],
    onIndexed: () => void = () => {},
  ): Promise<void> {
    this.assertUsable();
    try {
      this.#deps.place.assertThere();
      if (contents.length > 0) await this.#syncContents(contents);
      await this.#writeJournalAndTrees(begin, changes);
      this.#deps.index.apply(begin, changes, [], this.#deps.journal.mark);
      onIndexed();
      crashPoint('store.indexed');
      await this.#compactIfWorthwhile();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  /** Writes the journal anew from the database, and keeps the damaged one beside it; durable when it resolves. */
  async renewJournal(): Promise<void> {
    this.assertUsable();
    const { journal, index, place } = this.#deps;
    const meta = index.meta();
    if (meta === null) return;
    try {
      place.assertThere();
      await journal.replaceBySnapshot(snapshotEntries(index, meta), 'keepOld');
      index.moveMark(journal.mark);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  async #syncContents(contents: readonly StagedContent[]): Promise<void> {
    const { disk, files } = this.#deps;
    const { incoming } = this.#layout;
    await files.syncContents(
      incoming,
      contents.map(({ temp, holding: { state } }) => ({
        temp: temp ?? '',
        mtimeNs: state.kind === 'file' ? state.mtimeNs : null,
      })),
    );
    crashPoint('store.content-synced');
    await disk.syncDirectory(incoming);
    crashPoint('store.incoming-synced');
  }

  async #writeJournalAndTrees(begin: BeginEntry, changes: ChangeEntry[]): Promise<void> {
    const { journal } = this.#deps;
    await journal.rotate();
    const intent: JournalEntry = { type: 'intent', batch: begin.batch, entries: changes.length };
    const commit: JournalEntry = { type: 'commit', batch: begin.batch, undone: [] };
    if (changes.every(leavesTreesAlone)) {
      journal.append([begin, ...changes, intent, commit]);
    } else {
      journal.append([begin, ...changes, intent]);
      crashPoint('store.intent-written');
      await journal.sync();
      crashPoint('store.intent-synced');
      await this.#carryOut({ begin, changes });
      // else names were changed in one directory and noted in the journal of another
      this.#deps.place.assertThere();
      journal.append([commit]);
    }
    crashPoint('store.commit-written');
    await journal.sync();
    crashPoint('store.commit-synced');
  }

  /** What only adds, as nearly all batches do, takes the short way: it has nothing to ask the index on it. */
  async #carryOut(batch: IntentBatch): Promise<void> {
    const { disk, files, logger, index, namer } = this.#deps;
    const additions = index.damage.count === 0 ? additionsOf(batch.changes, this.#layout) : null;
    if (additions !== null && (await files.add(additions))) return;
    const deps = { disk, logger, ...treeQuestions(index, namer, this.#layout) };
    const { undone } = await carryOut(deps, this.#layout, batch, additions !== null);
    if (undone.length === 0) return;
    throw new CodedError('DISK_FAILED', `${undone.length} contents that were synced are not on the disk`, {
      hint: 'look at the kernel log and check the disk',
    });
  }

  async #compactIfWorthwhile(): Promise<void> {
    const { journal, index } = this.#deps;
    const { files, versions } = index.usage();
    const meta = index.meta();
    if (meta === null || !journal.isWorthCompacting(files + versions)) return;
    await journal.replaceBySnapshot(snapshotEntries(index, meta));
    index.moveMark(journal.mark);
    crashPoint('store.snapshot-indexed');
  }
}

/** What carrying out a batch has to ask the index. */
export function treeQuestions(index: MirrorIndex, namer: VersionNamer, { standing }: StoreLayout) {
  return {
    isDirectoryRecord: (path: RelativePath) =>
      standing.has(path) || index.live(path)?.holding.state.kind === 'directory',
    nameVersion: (path: RelativePath, at: number) => namer.freeName(path, at, new Set()),
    asideOf: (path: RelativePath, id: number | null) => index.damage.get(path, id)?.aside ?? null,
    stateOf: (path: RelativePath, id: number | null) =>
      (id === null ? index.live(path)?.holding : index.intervals.version(id)?.replaced.holding)?.state ??
      null,
  };
}

/** Nothing in `current/` or `versions/` has to change for it. */
function leavesTreesAlone(change: ChangeEntry): boolean {
  switch (change.type) {
    case 'missing':
    case 'gap':
    case 'index':
    case 'forgotten':
      return true;
    case 'set':
      return change.temp === null && change.replaced === null && change.holding.state.kind !== 'directory';
    case 'expire':
      return change.name === null;
    case 'remove':
      return change.replaced.holding.state.kind === 'symlink';
    case 'damage':
      return change.temp === null && change.aside === null;
    case 'version':
      return false;
  }
}
