import { CodedError } from '../../shared/errors/coded-error.ts';
import type { DirectoryLock } from '../../shared/io/directory-lock.ts';
import type { Disk } from '../../shared/io/disk.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import { recordBytes, type FolderQuota } from './agent-quota.ts';
import type { BatchWriter, StagedContent } from './batch-writer.ts';
import { nextBegin } from './commit-batch.ts';
import type { FreeSpace } from './free-space.ts';
import { hashOf, sizeOf, type Holding } from './journal-entry.ts';
import type { Journal } from './journal.ts';
import type { IndexMeta } from './index-meta.ts';
import type { MirrorIndex } from './mirror-index.ts';
import type { PartialContent } from './partial-contents.ts';
import type { ScrubLimits } from './scrub-limits.ts';
import type { Staging } from './staging.ts';
import type { StoreLayout } from './store-layout.ts';
import type { StorePlace } from './store-place.ts';
import { StoreScrub, type ScrubbedKind } from './store-scrub.ts';
import type { VersionNamer } from './version-namer.ts';

/** What opening a store had to do. `damagedJournal`: where the journal was damaged; the agent is asked for everything again. */
export type StoreOpening = {
  rebuiltIndex: boolean;
  finishedBatch: boolean;
  damagedJournal: { segment: number; offset: number } | null;
};

export type FolderStoreParts = {
  disk: Disk;
  layout: StoreLayout;
  databasePath: string;
  logger: Logger;
  now: () => number;
  index: MirrorIndex;
  journal: Journal;
  staging: Staging;
  writer: BatchWriter;
  quota: FolderQuota;
  freeSpace: FreeSpace;
  namer: VersionNamer;
  lock: DirectoryLock;
  place: StorePlace;
  /** Content that arrived in part is kept so long for another attempt. */
  partialDaysMax: number;
  scrubLimits: ScrubLimits;
  opened: StoreOpening;
};

type Restage = (hash: Buffer, size: number) => Promise<boolean>;

/**
 * What the stores of both kinds of folders have in common: one change after the other, staged content that becomes
 * durable by a commit, and the state that the journal and its index tell. After a failed write or sync below a batch
 * the store refuses everything until it is closed and opened again, because what the system says of the pages that
 * failed can no longer be believed.
 */
export class FolderStore<Parts extends FolderStoreParts> {
  readonly opened: StoreOpening;
  /** Re-reads what is stored, and makes it whole again. */
  readonly scrub: StoreScrub;
  protected readonly parts: Parts;
  readonly #leaveQuota: () => void;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: Parts, scrubbed: ScrubbedKind) {
    this.parts = parts;
    this.scrub = new StoreScrub({
      ...parts,
      ...scrubbed,
      oneByOne: (action) => this.oneByOne(action),
      begin: () => nextBegin(this.meta(), parts.now(), null),
      claim: (contents) => this.claimContents(contents, async (hash, size) => scrubbed.stageHeld(hash, size)),
    });
    this.opened = parts.opened;
    this.#leaveQuota = parts.quota.add({
      usedBytes: () => this.#usedBytes(),
      giveUp: (bytes) => parts.staging.partials.giveUp(bytes),
    });
  }

  /** True after a failure below a batch: close it and open it again, which recovers it. Reading goes on meanwhile. */
  get mustReopen(): boolean {
    return this.parts.writer.hasFailed;
  }

  /** False when its directory has vanished, or another one has come into its place: close it. */
  isInPlace(): boolean {
    return this.parts.place.isThere();
  }

  /** Whether so much content more may arrive, before it is asked for. @throws CodedError STORE_FULL, QUOTA_REACHED */
  assertRoom(bytes: number): void {
    this.assertUsable();
    this.parts.quota.assertRoom(bytes);
    this.parts.freeSpace.assertRoom(bytes);
  }

  /** How far the feed is durable here; null asks for everything. */
  position(): FeedPosition | null {
    return this.meta().position;
  }

  /** When the last batch became the current state, ms; by the receiver's clock, which may have gone back since. */
  changedAt(): number {
    return this.meta().lastBatchAt;
  }

  /**
   * Stages whole content.
   * @throws CodedError CONTENT_MISMATCH, STORE_FULL, QUOTA_REACHED, DISK_FAILED
   */
  stage(hash: Buffer, bytes: Uint8Array): void {
    this.assertUsable();
    this.parts.staging.stage(hash, bytes);
  }

  /** Content that arrives in pieces and survives restarts. @throws CodedError STORE_FULL, QUOTA_REACHED, DISK_FAILED */
  openPartial(hash: Buffer, size: number): PartialContent {
    this.assertUsable();
    return this.parts.staging.partials.open(hash, size);
  }

  /** Waits for what is under way. The directory is free for another opener when it resolves. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    this.#leaveQuota();
    try {
      this.parts.journal.close();
    } finally {
      this.parts.index.close();
      this.parts.lock.release();
    }
  }

  /**
   * Fills in `temp` of the entries from what is staged; the bytes that were claimed. Content staged for this batch may
   * have been used up by the one before: `restage` finds it where that has put it.
   * @throws CodedError CONTENT_MISMATCH, PROTOCOL_VIOLATION (content of another size than was announced)
   */
  protected async claimContents(entries: readonly StagedContent[], restage: Restage): Promise<number> {
    const claimed: StagedContent[] = [];
    try {
      for (const group of Map.groupBy(entries, contentKey).values()) {
        const names = await this.#claim(group, restage);
        for (const [at, entry] of group.entries()) entry.temp = names[at] ?? null;
        claimed.push(...group);
      }
    } catch (error) {
      for (const { temp, holding } of claimed) {
        this.parts.staging.unclaim(hashOf(holding), temp ?? '', sizeOf(holding));
      }
      throw error;
    }
    return entries.reduce((bytes, { holding }) => bytes + sizeOf(holding), 0);
  }

  protected meta(): IndexMeta {
    const meta = this.parts.index.meta();
    if (meta === null) throw new CodedError('INTERNAL', 'a store was opened without its state');
    return meta;
  }

  protected assertUsable(): void {
    if (this.#closed) throw new CodedError('INTERNAL', 'the store is closed');
    this.parts.writer.assertUsable();
  }

  protected oneByOne<T>(action: () => Promise<T>): Promise<T> {
    const run = this.#last.then(async () => {
      this.assertUsable();
      return action();
    });
    this.#last = run.catch(() => null);
    return run;
  }

  async #claim(group: readonly StagedContent[], restage: Restage): Promise<string[]> {
    const { staging } = this.parts;
    const [first] = group;
    if (first === undefined) return [];
    const [hash, size] = [hashOf(first.holding), sizeOf(first.holding)];
    const names =
      (await staging.claim(hash, size, group.length)) ??
      ((await restage(hash, size)) ? await staging.claim(hash, size, group.length) : null);
    if (names !== null) return names;
    throw new CodedError('CONTENT_MISMATCH', `content ${hash.toString('hex')} is not staged`, {
      context: { size },
    });
  }

  #usedBytes(): number {
    const { index, staging } = this.parts;
    const { bytes, versionBytes } = index.usage();
    return bytes + versionBytes + index.rows * recordBytes + staging.bytes;
  }
}

function contentKey({ holding }: { holding: Holding }): string {
  return `${hashOf(holding).toString('hex')}:${sizeOf(holding)}`;
}
