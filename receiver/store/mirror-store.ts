import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import { crashPoint } from '../../shared/io/crash-point.ts';
import type { DirectoryLock } from '../../shared/io/directory-lock.ts';
import type { Disk } from '../../shared/io/disk.ts';
import type { Logger } from '../../shared/io/logger.ts';
import { sameContent, type FileRecord, type PathState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { expiringVersions, type SimpleRetention } from '../retention/simple-retention.ts';
import type { AgentQuota } from './agent-quota.ts';
import { planBatch } from './batch-plan.ts';
import type { FreeSpace } from './free-space.ts';
import type {
  BeginEntry,
  ChangeEntry,
  FeedPosition,
  Holding,
  JournalEntry,
  LiveState,
  SetEntry,
} from './journal-entry.ts';
import type { Journal } from './journal.ts';
import type { IndexMeta, LiveRow, MirrorIndex, StoreUsage, VersionRow } from './mirror-index.ts';
import { openContent, type ReadableContent } from './readable-content.ts';
import { snapshotEntries } from './snapshot-entries.ts';
import type { PartialContent, Staging } from './staging.ts';
import { placeBelow, type StoreLayout } from './store-layout.ts';
import { carryOut, inParallel } from './tree-writer.ts';
import { isPlainWay, type VersionNamer } from './version-namer.ts';

/** A live record as stored. `receivedAt` (ms, the receiver's clock): when this content arrived. */
export type StoredFile = { record: FileRecord; indexId: Buffer; receivedAt: number };

/** A replaced or deleted state. `name`: its file below `versions/` (byte string); null where it has no bytes. */
export type StoredVersion = StoredEntry & { id: number; name: string | null; replacedAt: number };

/** A state that was alive from `receivedAt` until `replacedAt` (null: it still is); ms, the receiver's clock. */
export type StoredEntry = {
  path: RelativePath;
  state: LiveState;
  sequence: number;
  receivedAt: number;
  replacedAt: number | null;
};

/** Records up to a checkpoint of the agent; `missing`: announced in it and gone before their content was sent. */
export type CommitBatch = {
  indexId: Buffer;
  records: readonly FileRecord[];
  missing: readonly RelativePath[];
  through: number;
  token: Buffer;
};

export type MirrorStoreParts = {
  disk: Disk;
  logger: Logger;
  now: () => number;
  findElsewhere: ((hash: Buffer, size: number) => ReadableContent | null) | null;
  index: MirrorIndex;
  journal: Journal;
  staging: Staging;
  quota: AgentQuota;
  freeSpace: FreeSpace;
  namer: VersionNamer;
  layout: StoreLayout;
  lock: DirectoryLock;
  retention: SimpleRetention;
  opened: StoreOpening;
};

/** What opening a store had to do. `damagedJournal`: where the journal was damaged; the agent is asked for everything again. */
export type StoreOpening = {
  rebuiltIndex: boolean;
  finishedBatch: boolean;
  damagedJournal: { segment: number; offset: number } | null;
};

const deletionsAtOnce = 1000;
const expiriesAtOnce = 1000;
const syncsAtOnce = 16;

/**
 * What a receiver keeps of one mirror folder of one agent: the plain tree `current/`, what was replaced or deleted in
 * `versions/`, and a journal of full records. Made by `openMirrorStore`; changes are carried out one after the other.
 * After a failed write or sync below a batch the store refuses everything until it is closed and opened again, because
 * what the system says of the pages that failed can no longer be believed.
 * @see docs/storage-format.md
 */
export class MirrorStore {
  readonly opened: StoreOpening;
  readonly #parts: MirrorStoreParts;
  readonly #leaveQuota: () => void;
  #last: Promise<unknown> = Promise.resolve();
  #failure: unknown = null;
  #closed = false;

  constructor(parts: MirrorStoreParts) {
    this.#parts = parts;
    this.opened = parts.opened;
    this.#leaveQuota = parts.quota.add(() => this.#usedBytes());
  }

  /** A batch failed half-way: everything is refused until the store was closed and opened again. */
  get failed(): boolean {
    return this.#failure !== null;
  }

  /** Whether so much content more may arrive, before it is asked for. @throws CodedError STORE_FULL, QUOTA_REACHED */
  assertRoom(bytes: number): void {
    this.#assertUsable();
    this.#parts.quota.assertRoom(bytes);
    this.#parts.freeSpace.assertRoom(bytes);
  }

  /** How far the feed is durable here; null asks for everything. */
  position(): FeedPosition | null {
    return this.#meta().position;
  }

  /** When the last batch became the current state, ms; by the receiver's clock, which may have gone back since. */
  changedAt(): number {
    return this.#meta().lastBatchAt;
  }

  current(path: RelativePath): StoredFile | null {
    const row = this.#parts.index.live(path);
    if (row === null) return null;
    const { state, indexId, sequence, replaces, receivedAt } = row.holding;
    return { record: { path, state, sequence, replaces }, indexId, receivedAt };
  }

  /** What has to happen before a record can be committed: nothing, `stageHeld`, or content from the agent. */
  need(record: FileRecord): 'nothing' | 'held' | 'fetch' {
    const { state, path } = record;
    if (state.kind !== 'file') return 'nothing';
    const row = this.#parts.index.live(path);
    if (row !== null && sameContent(row.holding.state, state)) return 'nothing';
    if (state.size === 0 || this.#parts.staging.has(state.hash)) return 'held';
    const { paths, names } = this.#parts.index.holders(state.hash);
    if (paths.length > 0 || names.length > 0) return 'held';
    const elsewhere = this.#parts.findElsewhere?.(state.hash, state.size) ?? null;
    elsewhere?.close();
    return elsewhere === null ? 'fetch' : 'held';
  }

  /** Stages a verified copy of content that this agent's folders hold. False: it is not held, or damaged; fetch it. */
  async stageHeld(hash: Buffer, size: number): Promise<boolean> {
    this.#assertUsable();
    const { staging } = this.#parts;
    if (staging.has(hash)) return true;
    if (size === 0 && isEmptyHash(hash)) {
      staging.stage(hash, Buffer.alloc(0));
      return true;
    }
    for (const source of this.#holders(hash, size)) {
      try {
        if (await staging.stageCopy(hash, size, source)) return true;
      } finally {
        source.close();
      }
      this.#parts.logger.warn({ hash: hash.toString('hex') }, 'held content is damaged; it is fetched again');
    }
    return false;
  }

  /**
   * Stages whole content.
   * @throws CodedError CONTENT_MISMATCH, STORE_FULL, QUOTA_REACHED, DISK_FAILED
   */
  stage(hash: Buffer, bytes: Uint8Array): void {
    this.#assertUsable();
    this.#parts.staging.stage(hash, bytes);
  }

  /** Content that arrives in pieces and survives restarts. @throws CodedError QUOTA_REACHED, DISK_FAILED */
  openPartial(hash: Buffer, size: number): PartialContent {
    this.#assertUsable();
    return this.#parts.staging.openPartial(hash, size);
  }

  /** Content with that hash from `current/` or `versions/`; not verified. Null when there is none. */
  openHeld(hash: Buffer, size?: number): ReadableContent | null {
    for (const source of this.#holders(hash, size ?? null, false)) return source;
    return null;
  }

  /** The content that is at the path now; not verified. Null when no file is. */
  openCurrent(path: RelativePath): ReadableContent | null {
    if (this.#parts.index.live(path)?.holding.state.kind !== 'file') return null;
    return this.#openBelow(this.#parts.layout.current, path);
  }

  /**
   * Makes the records the current state. When it resolves everything in the batch is durable and may be acknowledged;
   * when it rejects, nothing may. Staged content is used up.
   * @throws CodedError PROTOCOL_VIOLATION, CONTENT_MISMATCH (content not staged), STORE_FULL, DISK_FAILED
   */
  commit(batch: CommitBatch): Promise<void> {
    return this.#oneByOne(async () => {
      const meta = this.#meta();
      assertInOrder(batch, meta.position);
      this.#parts.freeSpace.assertRoomForJournal();
      const { indexId, through: sequence, token } = batch;
      const begin = nextBegin(meta, this.#parts.now(), { indexId, sequence, token });
      const plan = planBatch(this.#parts.index, batch.records, {
        indexId,
        at: begin.at,
        nextVersionId: meta.nextVersionId,
        nameVersion: this.#nameVersions(begin.at),
      });
      const claimed = await this.#claimContents(plan.contents);
      const missing = batch.missing.map((path): ChangeEntry => ({ type: 'missing', path, namedIn: indexId }));
      await this.#write(
        { ...begin, nextVersionId: plan.nextVersionId },
        [...plan.entries, ...missing],
        plan.contents,
      );
      this.#parts.staging.committed(claimed);
    });
  }

  /**
   * The index up to `position` has named every live path: all others are deletions now, their bytes in `versions/`.
   * Durable in bounded batches; calling it again goes on, or does nothing.
   * @throws CodedError PROTOCOL_VIOLATION when the position is not reached here, STORE_FULL, DISK_FAILED
   */
  completeIndex(position: FeedPosition): Promise<{ deletedFiles: number }> {
    return this.#oneByOne(async () => {
      const { indexId } = position;
      const reached = this.#meta().position;
      if (reached === null || !reached.indexId.equals(indexId) || position.sequence > reached.sequence) {
        throw new CodedError('PROTOCOL_VIOLATION', 'an index ended at a position that was not reached', {
          context: { sequence: position.sequence, reachedSequence: reached?.sequence ?? null },
        });
      }
      let deletedFiles = 0;
      let after: RelativePath | null = null;
      while (this.#meta().completeIndexId?.equals(indexId) !== true) {
        const rows: LiveRow[] = this.#parts.index.unnamedAfter(after, indexId, deletionsAtOnce);
        after = rows.at(-1)?.path ?? null;
        deletedFiles += rows.filter(({ holding }) => holding.state.kind === 'file').length;
        await this.#delete(rows, reached, rows.length < deletionsAtOnce);
      }
      return { deletedFiles };
    });
  }

  /** Newest first. */
  listVersions(path: RelativePath): StoredVersion[] {
    return this.#parts.index.versionsOf(path).map((row) => {
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
    const { index } = this.#parts;
    const rows = at === null ? index.liveAfter(after, limit) : index.aliveAt(at, after, limit);
    const entries = rows.map((row) => ('replaced' in row ? versionEntry(row) : liveEntry(row)));
    return { entries, next: entries.length < limit ? null : (entries.at(-1)?.path ?? null) };
  }

  usage(): StoreUsage {
    return this.#parts.index.usage();
  }

  /** Removes the versions that the retention rule lets go; durable when it resolves. */
  async expire(nowMs: number): Promise<{ versions: number; bytes: number }> {
    const removed = { versions: 0, bytes: 0 };
    let after: RelativePath | null = null;
    for (;;) {
      const rows: VersionRow[] = this.#parts.index.versionsAfter(after, expiriesAtOnce);
      if (rows.length === 0) return removed;
      after = rows.at(-1)?.path ?? null;
      const expiring = expiringRows(rows, nowMs, this.#parts.retention);
      for (let at = 0; at < expiring.length; at += expiriesAtOnce) {
        const group = expiring.slice(at, at + expiriesAtOnce);
        await this.#oneByOne(() => this.#expire(group));
        removed.versions += group.length;
        removed.bytes += group.reduce((sum, row) => sum + sizeOf(row.replaced.holding), 0);
      }
    }
  }

  /** Waits for what is under way. The directory is free for another opener when it resolves. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    this.#leaveQuota();
    this.#parts.journal.close();
    this.#parts.index.close();
    this.#parts.lock.release();
  }

  async #claimContents(entries: readonly SetEntry[]): Promise<number> {
    const byHash = Map.groupBy(entries, (entry) => hashOf(entry).toString('hex'));
    let bytes = 0;
    for (const group of byHash.values()) {
      const [first] = group;
      if (first === undefined) continue;
      const hash = hashOf(first);
      const size = sizeOf(first.holding);
      // Content staged for this batch may have been used up by the one before; then it is in current/ or versions/.
      const names =
        (await this.#parts.staging.claim(hash, group.length)) ??
        ((await this.stageHeld(hash, size)) ? await this.#parts.staging.claim(hash, group.length) : null);
      if (names === null) {
        throw new CodedError('CONTENT_MISMATCH', `content ${hash.toString('hex')} is not staged`, {
          context: { size },
        });
      }
      for (const [at, entry] of group.entries()) entry.temp = names[at] ?? null;
      bytes += size * group.length;
    }
    return bytes;
  }

  async #delete(rows: readonly LiveRow[], reached: FeedPosition, completes: boolean): Promise<void> {
    const meta = this.#meta();
    const begin = { ...nextBegin(meta, this.#parts.now(), reached), completes };
    const nameVersion = this.#nameVersions(begin.at);
    const changes = rows.map(({ path, holding }, at): ChangeEntry => ({
      type: 'remove',
      path,
      replaced: {
        id: meta.nextVersionId + at,
        name: holding.state.kind === 'file' ? nameVersion(path) : null,
        holding,
      },
    }));
    await this.#write({ ...begin, nextVersionId: meta.nextVersionId + rows.length }, changes, []);
  }

  async #expire(rows: readonly VersionRow[]): Promise<void> {
    const begin = nextBegin(this.#meta(), this.#parts.now(), null);
    const changes = rows.map(({ path, replaced: { id, name } }): ChangeEntry => ({
      type: 'expire',
      path,
      id,
      name,
    }));
    await this.#write(begin, changes, []);
  }

  /** The write path of docs/storage-format.md#write-path. Any failure in it is final for this opening of the store. */
  async #write(begin: BeginEntry, changes: ChangeEntry[], contents: readonly SetEntry[]): Promise<void> {
    const { disk, journal, index, layout } = this.#parts;
    try {
      if (contents.length > 0) {
        await this.#syncContents(contents);
        crashPoint('store.content-synced');
        await disk.syncDirectory(layout.incoming);
        crashPoint('store.incoming-synced');
      }
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
        await carryOut(this.#writerDeps(), layout, { begin, changes }, false);
        journal.append([commit]);
      }
      crashPoint('store.commit-written');
      await journal.sync();
      crashPoint('store.commit-synced');
      index.apply(begin, changes, [], journal.mark);
      crashPoint('store.indexed');
      await this.#compactIfWorthwhile();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  async #syncContents(contents: readonly SetEntry[]): Promise<void> {
    const { disk, layout } = this.#parts;
    await inParallel(contents, syncsAtOnce, async ({ temp, holding: { state } }) => {
      const fd = disk.open(`${layout.incoming}/${temp}`, 'update');
      try {
        if (state.kind === 'file') disk.setModified(fd, state.mtimeNs);
        await disk.syncData(fd);
      } finally {
        disk.close(fd);
      }
    });
  }

  async #compactIfWorthwhile(): Promise<void> {
    const { journal, index } = this.#parts;
    const { files, versions } = index.usage();
    if (!journal.isWorthCompacting(files + versions)) return;
    const meta = index.meta();
    if (meta === null) return;
    await journal.replaceBySnapshot(snapshotEntries(index, meta));
    index.moveMark(journal.mark);
    crashPoint('store.snapshot-indexed');
  }

  *#holders(hash: Buffer, size: number | null, elsewhere = true): Generator<ReadableContent> {
    const { index, layout, findElsewhere } = this.#parts;
    const { paths, names } = index.holders(hash);
    for (const path of paths) {
      const content = this.#openBelow(layout.current, path);
      if (content !== null) yield content;
    }
    for (const name of names) {
      const content = this.#openBelow(layout.versions, name);
      if (content !== null) yield content;
    }
    const other = elsewhere && size !== null ? (findElsewhere?.(hash, size) ?? null) : null;
    if (other !== null) yield other;
  }

  #openBelow(base: string, path: string): ReadableContent | null {
    if (!isPlainWay(this.#parts.disk, base, path)) return null;
    return openContent(this.#parts.disk, placeBelow(base, path));
  }

  #nameVersions(at: number): (path: RelativePath) => string {
    const taken = new Set<string>();
    return (path) => {
      const name = this.#parts.namer.freeName(path, at, taken);
      taken.add(name);
      return name;
    };
  }

  #writerDeps() {
    const { disk, logger, index, namer } = this.#parts;
    return { disk, logger, ...treeQuestions(index, namer) };
  }

  #meta(): IndexMeta {
    const meta = this.#parts.index.meta();
    if (meta === null) throw new CodedError('INTERNAL', 'a store was opened without its state');
    return meta;
  }

  #usedBytes(): number {
    const { bytes, versionBytes } = this.#parts.index.usage();
    return bytes + versionBytes + this.#parts.staging.bytes;
  }

  #assertUsable(): void {
    if (this.#closed) throw new CodedError('INTERNAL', 'the store is closed');
    if (this.#failure === null) return;
    const code = isCoded(this.#failure) ? this.#failure.code : 'DISK_FAILED';
    throw new CodedError(code, 'the store failed in an earlier batch and has to be opened again', {
      hint: 'look at the first error in the log; opening the store again recovers it',
      cause: this.#failure,
    });
  }

  #oneByOne<T>(action: () => Promise<T>): Promise<T> {
    const run = this.#last.then(async () => {
      this.#assertUsable();
      return action();
    });
    this.#last = run.catch(() => null);
    return run;
  }
}

/** What carrying out a batch has to ask the index. */
export function treeQuestions(index: MirrorIndex, namer: VersionNamer) {
  return {
    isDirectoryRecord: (path: RelativePath) => index.live(path)?.holding.state.kind === 'directory',
    nameVersion: (path: RelativePath, at: number) => namer.freeName(path, at, new Set()),
  };
}

/** A batch's time is strictly later than that of the one before, whatever the clock does, so that states do not overlap. */
function nextBegin(meta: IndexMeta, nowMs: number, position: FeedPosition | null): BeginEntry {
  return {
    type: 'begin',
    batch: meta.lastBatch + 1,
    at: Math.max(nowMs, meta.lastBatchAt + 1),
    nextVersionId: meta.nextVersionId,
    position,
    completes: false,
    forgets: false,
  };
}

function assertInOrder({ indexId, records, through }: CommitBatch, reached: FeedPosition | null): void {
  const before = reached !== null && reached.indexId.equals(indexId) ? reached.sequence : -1;
  const wrong = records.find(({ sequence }) => sequence <= before || sequence > through);
  if (through > before && wrong === undefined) {
    const misplaced = records.find(({ path, state }) => path === '' && isContentKind(state));
    if (misplaced !== undefined)
      throw new CodedError('PROTOCOL_VIOLATION', 'the root of a folder is no directory');
    if (new Set(records.map(({ path }) => path)).size === records.length) return;
    throw new CodedError('PROTOCOL_VIOLATION', 'a batch names a path twice');
  }
  throw new CodedError(
    'PROTOCOL_VIOLATION',
    `a batch through sequence ${through} came after sequence ${before}`,
    {
      context: { through, before, recordSequence: wrong?.sequence ?? null },
    },
  );
}

function isContentKind(state: PathState): boolean {
  return state.kind === 'file' || state.kind === 'symlink';
}

/** Nothing in `current/` or `versions/` has to change for it. */
function leavesTreesAlone(change: ChangeEntry): boolean {
  switch (change.type) {
    case 'missing':
      return true;
    case 'set':
      return change.temp === null && change.replaced === null && change.holding.state.kind !== 'directory';
    case 'expire':
      return change.name === null;
    case 'remove':
      return change.replaced.holding.state.kind === 'symlink';
    case 'version':
      return false;
  }
}

function expiringRows(rows: readonly VersionRow[], nowMs: number, retention: SimpleRetention): VersionRow[] {
  return [...Map.groupBy(rows, ({ path }) => path).values()].flatMap((versions) =>
    expiringVersions(versions, nowMs, retention),
  );
}

function liveEntry({ path, holding: { state, sequence, receivedAt } }: LiveRow): StoredEntry {
  return { path, state, sequence, receivedAt, replacedAt: null };
}

function versionEntry({ path, replaced: { holding }, replacedAt }: VersionRow): StoredEntry {
  return {
    path,
    state: holding.state,
    sequence: holding.sequence,
    receivedAt: holding.receivedAt,
    replacedAt,
  };
}

function sizeOf({ state }: Holding): number {
  return state.kind === 'file' ? state.size : 0;
}

function hashOf({ holding: { state } }: SetEntry): Buffer {
  return state.kind === 'file' ? state.hash : Buffer.alloc(0);
}

const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

function isEmptyHash(hash: Buffer): boolean {
  return hash.toString('hex') === emptyHash;
}
