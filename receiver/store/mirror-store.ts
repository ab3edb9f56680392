import { CodedError } from '../../shared/errors/coded-error.ts';
import { sameContent, type FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { ForgottenHistory, KeptHistory, PartProof, PointPart } from '../points/folder-evidence.ts';
import type { VersionRetention } from '../retention/version-retention.ts';
import { recordBytes } from './agent-quota.ts';
import { planBatch } from './batch-plan.ts';
import { assertInOrder, nextBegin, type CommitBatch } from './commit-batch.ts';
import { FolderStore, type FolderStoreParts } from './folder-store.ts';
import type { HeldContent } from './held-content.ts';
import { FolderPast } from './folder-past.ts';
import {
  evidenceOf,
  lackingIn,
  momentsOf,
  type IntervalEvidence,
  type SequenceInterval,
} from './interval-evidence.ts';
import type { MomentInterval } from './interval-index.ts';
import type { LiveRow } from './index-rows.ts';
import type { ChangeEntry, GapEntry } from './journal-entry.ts';
import type { StoreUsage } from './mirror-index.ts';
import { laterMoment, momentOf, type Moment } from './moment.ts';
import { PartBytes } from './part-bytes.ts';
import { isEmptyHash, type HeldCopy, type ReadableContent } from './readable-content.ts';
import type { StagedCopy } from './staging.ts';
import {
  storedEntry,
  versionEntry,
  type StoredEntry,
  type StoredFile,
  type StoredVersion,
} from './stored-entry.ts';
import { VersionExpiry } from './version-expiry.ts';

export type MirrorStoreParts = FolderStoreParts & { held: HeldContent; retention: VersionRetention };

const deletionsAtOnce = 1000;

/**
 * What a receiver keeps of one mirror folder of one agent: the plain tree `current/`, what was replaced or deleted in
 * `versions/`, and a journal of full records. Made by `openMirrorStore`; changes are carried out one after the other.
 * @see docs/storage-format.md
 */
export class MirrorStore extends FolderStore<MirrorStoreParts> {
  readonly kind = 'mirror';
  /** How versions and gaps go. */
  readonly expiry: VersionExpiry;
  readonly #partBytes = new PartBytes(this.parts.index);

  constructor(parts: MirrorStoreParts) {
    super(parts, {
      stageHeld: async (hash, size) => (await this.#stageHeld(hash, size)) === 'staged',
      onDamaged: () => {},
      onMended: () => {},
      booksProblem: async () => null,
    });
    this.expiry = new VersionExpiry({
      ...parts,
      begin: () => nextBegin(this.meta(), parts.now(), null),
      assertUsable: () => this.assertUsable(),
      oneByOne: (action) => this.oneByOne(action),
    });
  }

  current(path: RelativePath): StoredFile | null {
    const row = this.parts.index.live(path);
    if (row === null) return null;
    const { state, indexId, sequence, replaces, receivedAt } = row.holding;
    return { record: { path, state, sequence, replaces }, indexId, receivedAt };
  }

  /** What has to happen before a record can be committed: nothing, `stageHeld`, or content from the agent. */
  need(record: FileRecord): 'nothing' | 'held' | 'fetch' {
    const { state, path } = record;
    if (state.kind !== 'file') return 'nothing';
    const row = this.parts.index.live(path);
    const isDamaged = this.parts.index.damage.get(path, null) !== null;
    if (row !== null && sameContent(row.holding.state, state) && !isDamaged) return 'nothing';
    if (state.size === 0 || this.parts.staging.has(state.hash)) return 'held';
    return this.parts.held.isSaidToBeHeld(state.hash) ? 'held' : 'fetch';
  }

  /** Stages a verified copy of content that this agent's folders hold. False: it is not held, or damaged; fetch it. */
  async stageHeld(hash: Buffer, size: number): Promise<boolean> {
    this.assertUsable();
    return (await this.#stageHeld(hash, size)) === 'staged';
  }

  /** Copies of content with that hash in `current/` and `versions/`; not verified. */
  copies(hash: Buffer): HeldCopy[] {
    return this.parts.held.copies(hash);
  }

  /** The content that is at the path now, or its damaged bytes; not verified. Null when no file is. */
  openCurrent(path: RelativePath): ReadableContent | null {
    if (this.parts.index.live(path)?.holding.state.kind !== 'file') return null;
    return this.parts.held.openCurrent(path) ?? this.parts.held.openAside(path);
  }

  /**
   * Makes the records the current state. When it resolves everything in the batch is durable and may be acknowledged;
   * when it rejects, nothing may. Staged content is used up.
   * @throws CodedError PROTOCOL_VIOLATION, CONTENT_MISMATCH (content not staged), STORE_FULL, QUOTA_REACHED, DISK_FAILED
   */
  commit(batch: CommitBatch): Promise<void> {
    return this.oneByOne(async () => {
      const meta = this.meta();
      assertInOrder(batch, meta.position);
      this.parts.freeSpace.assertRoomForJournal();
      const { indexId, through: sequence, token } = batch;
      const { intervals } = this.parts.index;
      const indexNumber = intervals.numberFor(indexId);
      momentOf(indexNumber, sequence);
      const latest = intervals.latest();
      const settled = latest?.number === indexNumber ? (latest.settled ?? 0) : 0;
      const begin = {
        ...nextBegin(meta, this.parts.now(), { indexId, sequence, token }),
        indexNumber,
        settles: batch.isHead,
      };
      const plan = planBatch(this.parts.index, batch, {
        indexId,
        indexNumber,
        settled,
        at: begin.at,
        nextVersionId: meta.nextVersionId,
        nameVersion: this.#nameVersions(begin.at),
      });
      this.parts.quota.assertRoom(plan.addedRows * recordBytes);
      const claimed = await this.claimContents(plan.contents, async (hash, size) => {
        const staged = await this.#stageHeld(hash, size);
        if (staged instanceof CodedError) throw staged;
        return staged === 'staged';
      });
      const missing = batch.missing.map(({ path }): ChangeEntry => ({
        type: 'missing',
        path,
        namedIn: indexId,
      }));
      await this.parts.writer.write(
        { ...begin, nextVersionId: plan.nextVersionId },
        [...plan.entries, ...missing],
        plan.contents,
      );
      this.parts.staging.committed(claimed);
    });
  }

  /**
   * The index up to `position` has named every live path: all others are deletions now, their bytes in `versions/`.
   * Durable in bounded batches; calling it again goes on, or does nothing.
   * @throws CodedError PROTOCOL_VIOLATION when the position is not reached here, STORE_FULL, DISK_FAILED
   */
  completeIndex(position: FeedPosition): Promise<{ deletedFiles: number }> {
    return this.oneByOne(async () => {
      const { indexId } = position;
      const reached = this.meta().position;
      if (reached === null || !reached.indexId.equals(indexId) || position.sequence > reached.sequence) {
        throw new CodedError('PROTOCOL_VIOLATION', 'an index ended at a position that was not reached', {
          context: { sequence: position.sequence, reachedSequence: reached?.sequence ?? null },
        });
      }
      let deletedFiles = 0;
      let after: RelativePath | null = null;
      while (this.meta().completeIndexId?.equals(indexId) !== true) {
        const rows: LiveRow[] = this.parts.index.unnamedAfter(after, indexId, deletionsAtOnce);
        after = rows.at(-1)?.path ?? null;
        deletedFiles += rows.filter(({ holding }) => holding.state.kind === 'file').length;
        await this.#delete(rows, reached, rows.length < deletionsAtOnce);
      }
      return { deletedFiles };
    });
  }

  /** By `evidence`: before everything up to the part's end has come, and after journal lines were lost, nothing is known. */
  provePart(part: PointPart): PartProof {
    if (part.kind !== 'mirror') return { state: 'unknown', bytes: null };
    const { index, from, to } = part;
    const { reached, intact, lacking } = this.evidence({ indexId: Buffer.from(index, 'hex'), from, to });
    if (!reached || !intact) return { state: 'unknown', bytes: null };
    const bytes = this.#partBytes.of(part);
    if (lacking.count === 0) return { state: 'complete', bytes };
    return { state: 'incomplete', files: lacking.count, paths: lacking.paths, bytes };
  }

  /** Has `provePart` tell the bytes of these parts from now on. In time proportional to all that is kept, once. */
  countBytes(parts: readonly PointPart[]): Promise<void> {
    return this.#partBytes.count(parts);
  }

  /** Whether something that the part may need was let go, or is just now: a point that comes afterwards is not whole for sure. */
  hasForgotten(part: PointPart): boolean {
    return this.expiry.hasForgotten(part);
  }

  /** Newest first. */
  listVersions(path: RelativePath): StoredVersion[] {
    return this.parts.index.versionsOf(path).map((row) => {
      const { replaced, replacedAt } = row;
      return Object.assign(versionEntry(row), { id: replaced.id, name: replaced.name, replacedAt });
    });
  }

  /** What was (at null: is) alive at that moment of the receiver's clock, in byte order of the paths, page by page. */
  entriesAt(query: { at: number | null; after: RelativePath | null; limit: number }): {
    entries: StoredEntry[];
    next: RelativePath | null;
  } {
    const { at, after, limit } = query;
    const { index } = this.parts;
    const rows = at === null ? index.liveAfter(after, limit) : index.aliveAt(at, after, limit);
    const entries = rows.map(storedEntry);
    return { entries, next: entries.length < limit ? null : (entries.at(-1)?.path ?? null) };
  }

  /**
   * The last content of each path that was alive at `from` or came up to `to`, in byte order of the paths, page by page;
   * of a file and what is below its path the later one; nothing of an index that was never met. Whether that is all of it
   * `evidence` tells.
   */
  contentBetween(
    interval: SequenceInterval,
    after: RelativePath | null,
    limit: number,
  ): { entries: StoredEntry[]; next: RelativePath | null } {
    const { index } = this.parts;
    const moments = momentsOf(index.intervals, interval);
    if (moments === null) return { entries: [], next: null };
    for (let next = after; ;) {
      const rows = index.aliveBetween(moments, next, limit);
      const entries = rows
        .filter((row) => !('replaced' in row && index.intervals.isSupplanted(row, moments.to)))
        .map(storedEntry);
      next = rows.length < limit ? null : (rows.at(-1)?.path ?? null);
      if (entries.length > 0 || next === null) return { entries, next };
    }
  }

  /** What can be proved of the interval now. Later records may still show that a path is lacking. */
  evidence(interval: SequenceInterval): IntervalEvidence {
    return evidenceOf(this.parts.index, interval);
  }

  /** All paths that `evidence` counts as lacking, in byte order, page by page. */
  lackingBetween(interval: SequenceInterval, after: RelativePath | null, limit: number): RelativePath[] {
    return lackingIn(this.parts.index, interval, after, limit);
  }

  /** Since when, and until when, contents of paths were missed; by path and begin, after the last one of a page. */
  gaps(after: GapEntry | null, limit: number): GapEntry[] {
    return this.parts.index.intervals.gapsAfter(after, limit);
  }

  usage(): StoreUsage {
    return this.parts.index.usage();
  }

  get past(): FolderPast {
    return new FolderPast(this.parts.index.database);
  }

  /** Where a sequence of an index lies in the order of all indexes; null where the index was never met. */
  momentAt(indexId: Buffer, sequence: number): Moment | null {
    const { intervals } = this.parts.index;
    return momentsOf(intervals, { indexId, from: sequence, to: sequence })?.from ?? null;
  }

  /**
   * Versions that were replaced or deleted later than the moment `from` and not later than `to`, in that order, page by
   * page; `after`: the last one of the page before.
   */
  versionsEndedIn(
    moments: MomentInterval,
    after: { ended: Moment; id: number } | null,
    limit: number,
  ): (StoredVersion & { ended: Moment })[] {
    return this.parts.index.intervals.versionsEnded(moments, after, limit).map((row) => {
      const { id, name, ended } = row.replaced;
      return Object.assign(versionEntry(row), { id, name, ended, replacedAt: row.replacedAt });
    });
  }

  /** By `VersionExpiry`, durable when it resolves. */
  expire(
    nowMs: number,
    kept: KeptHistory,
    isStopped: () => boolean = () => false,
  ): Promise<{ versions: number; bytes: number }> {
    return this.expiry.expire(nowMs, kept, isStopped);
  }

  /** What `forget` would remove. */
  forgettable(nowMs: number, forgotten: readonly PointPart[], kept: KeptHistory): ForgottenHistory {
    return this.expiry.forgettable(nowMs, forgotten, kept);
  }

  /** By `VersionExpiry`, durable when it resolves. */
  forget(nowMs: number, forgotten: readonly PointPart[], kept: KeptHistory): Promise<ForgottenHistory> {
    return this.expiry.forget(nowMs, forgotten, kept);
  }

  /** What became of the last copy that was tried. */
  async #stageHeld(hash: Buffer, size: number): Promise<StagedCopy> {
    const { staging, held, logger } = this.parts;
    if (staging.has(hash)) return 'staged';
    if (size === 0 && isEmptyHash(hash)) {
      staging.stage(hash, Buffer.alloc(0));
      return 'staged';
    }
    let outcome: StagedCopy = 'differs';
    for (const open of [...held.copies(hash), ...held.copiesElsewhere(hash)]) {
      outcome = await staging.stageCopy(hash, size, open);
      if (outcome === 'staged') break;
      logger.warn({ hash: hash.toString('hex') }, 'a copy of held content is damaged or cannot be read');
    }
    return outcome;
  }

  async #delete(rows: readonly LiveRow[], reached: FeedPosition, completes: boolean): Promise<void> {
    const meta = this.meta();
    const indexNumber = this.parts.index.intervals.numberFor(reached.indexId);
    const begin = { ...nextBegin(meta, this.parts.now(), reached), indexNumber, completes };
    const nameVersion = this.#nameVersions(begin.at);
    const changes = rows.map(({ path, holding }, at): ChangeEntry => ({
      type: 'remove',
      path,
      replaced: {
        id: meta.nextVersionId + at,
        name: holding.state.kind === 'file' ? nameVersion(path) : null,
        holding,
        // it was gone before the index began that does not name it
        ended: laterMoment(holding.begun, momentOf(indexNumber, 0)),
      },
    }));
    await this.parts.writer.write({ ...begin, nextVersionId: meta.nextVersionId + rows.length }, changes, []);
  }

  #nameVersions(at: number): (path: RelativePath) => string {
    const taken = new Set<string>();
    return (path) => {
      const name = this.parts.namer.freeName(path, at, taken);
      taken.add(name);
      return name;
    };
  }
}
