import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { Message } from '../../shared/protocol/codec.ts';
import { limits } from '../../shared/protocol/limits.ts';
import type { IndexEnd } from '../../shared/protocol/index-end.ts';
import { recordsWireBytesMax, type Records } from '../../shared/protocol/records.ts';
import { type FeedPosition, emptyToken } from '../../shared/records/feed-position.ts';
import type { ContentFetcher } from '../../shared/transfer/content-fetcher.ts';
import { BatchContent, type PulledBytes } from './batch-content.ts';
import type { PullStore } from './pull-store.ts';
import { RecordStream, type RecordBatch } from './record-stream.ts';
import type { WaitingRecords } from './waiting-records.ts';

export type FolderPullDeps = {
  store: PullStore;
  fetcher: ContentFetcher;
  send(message: Message): Promise<void>;
  /** Shared by all folders of the link. */
  waiting: WaitingRecords;
  /** Resolves after the time, or at once when the signal is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** The folder takes nothing because of this (STORE_FULL, QUOTA_REACHED); null: it takes again. */
  onBlocked(folder: string, reason: CodedError | null): void;
};

export type FolderPullOptions = {
  folder: string;
  /** The index that was offered. */
  indexId: Buffer;
  /** How long a full store waits before it tries again. */
  retryDelayMs: number;
};

export type FolderPullProgress = {
  folder: string;
  durableSequence: number;
  /** Since the link began. */
  filesCommitted: number;
  bytesReceived: number;
  bytesReused: number;
  filesMissing: number;
  /** This index's end was reached: what it did not name counts as deleted. */
  complete: boolean;
  blocked: CodedError | null;
};

type Step = { kind: 'batch'; batch: RecordBatch; content: BatchContent } | { kind: 'end' };

/**
 * Pulls one index of one folder: batches in their order, the contents of the next one while one is being committed. A full store
 * or quota makes it wait and try again at the same place. After an error or `stop`, the store holds whole batches only.
 */
export class FolderPull {
  private readonly deps: FolderPullDeps;
  private readonly options: FolderPullOptions;
  private readonly stopping = new AbortController();
  private readonly steps: Step[] = [];
  private readonly totals: PulledBytes & { files: number; missing: number } = {
    received: 0,
    reused: 0,
    files: 0,
    missing: 0,
  };
  private stream: RecordStream | null = null;
  private wake: () => void = () => {};
  private blocked: CodedError | null = null;
  private complete = false;
  private readonly reported = new Set<string>();
  private waitingBytes = 0;

  constructor(deps: FolderPullDeps, options: FolderPullOptions) {
    this.deps = deps;
    this.options = options;
  }

  get indexId(): Buffer {
    return this.options.indexId;
  }

  progress(): FolderPullProgress {
    return {
      folder: this.options.folder,
      durableSequence: this.durablePosition().sequence,
      filesCommitted: this.totals.files,
      bytesReceived: this.totals.received,
      bytesReused: this.totals.reused,
      filesMissing: this.totals.missing,
      complete: this.complete,
      blocked: this.blocked,
    };
  }

  /** Subscribes and pulls until `stop`. Nothing is under way any more when it settles. @throws CodedError of store or link */
  async run(): Promise<void> {
    const { folder, indexId } = this.options;
    const position = this.deps.store.position();
    this.stream = new RecordStream(indexId, position);
    await this.deps.send({ type: 'subscribe', folder, indexId, position });
    await this.reportMissing();
    let committing: Committing | null = null;
    try {
      for (;;) {
        const step = await this.nextStep();
        if (step === null) break;
        if (step.kind === 'batch') {
          const uncommitted = committing?.hashes ?? noHashes;
          await this.withRoom(() => step.content.fetchEarly(uncommitted));
        }
        await committing?.done;
        committing = null;
        if (this.stopping.signal.aborted) break;
        if (step.kind === 'end') await this.completeIndex();
        else {
          await this.withRoom(() => step.content.complete());
          committing = this.startCommit(step.batch, step.content);
        }
      }
    } finally {
      try {
        await committing?.done;
      } finally {
        this.release(this.waitingBytes);
      }
    }
  }

  /** Ends `run` behind what it is doing. The link may live on. */
  stop(): void {
    this.stopping.abort();
    this.wake();
  }

  /** @throws CodedError PROTOCOL_VIOLATION */
  receiveRecords(message: Records): void {
    const bytes = recordsWireBytesMax(message.records);
    this.waitingBytes += bytes;
    this.deps.waiting.take(bytes);
    const batch = this.subscribed().add(message);
    if (batch === null) return;
    const { folder } = this.options;
    const { store, fetcher } = this.deps;
    this.steps.push({
      kind: 'batch',
      batch,
      content: new BatchContent({ folder, store, fetcher }, batch.records),
    });
    this.wake();
  }

  /** @throws CodedError PROTOCOL_VIOLATION */
  receiveEnd(message: IndexEnd): void {
    this.subscribed().end(message);
    this.steps.push({ kind: 'end' });
    this.wake();
  }

  private release(bytes: number): void {
    this.waitingBytes -= bytes;
    this.deps.waiting.release(bytes);
  }

  private subscribed(): RecordStream {
    if (this.stream !== null) return this.stream;
    throw new CodedError('PROTOCOL_VIOLATION', `folder "${this.options.folder}" is not subscribed to yet`);
  }

  private async nextStep(): Promise<Step | null> {
    while (!this.stopping.signal.aborted) {
      const step = this.steps.shift();
      if (step !== undefined) return step;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    return null;
  }

  private startCommit(batch: RecordBatch, content: BatchContent): Committing {
    const done = this.commit(batch, content);
    // a failure is seen by whoever awaits `done` next; until then it is not unhandled
    done.catch(() => this.stop());
    return { hashes: new Set(content.hashes()), done };
  }

  private async commit(batch: RecordBatch, content: BatchContent): Promise<void> {
    const { indexId, through: sequence, token, records } = batch;
    let tried = false;
    const committed = await this.withRoom(async () => {
      // the store may have dropped what was staged for a commit that failed
      if (tried) await content.complete();
      tried = true;
      const gone = new Set(content.missing());
      const present = records.filter(({ path }) => !gone.has(path));
      const missing = records.filter(({ path }) => gone.has(path));
      await this.deps.store.commit({ ...batch, records: present, missing });
      this.setBlocked(null);
    });
    if (!committed) return;
    this.stream?.committed(batch);
    this.release(recordsWireBytesMax(records));
    this.totals.files += records.length - content.missing().length;
    this.totals.missing += content.missing().length;
    this.totals.received += content.pulled.received;
    this.totals.reused += content.pulled.reused;
    // first: what is durable and was not reported as missing counts as confirmed
    await this.reportMissing();
    await this.deps.send({ type: 'durable', folder: this.options.folder, indexId, sequence, token });
  }

  /** Tells the agent of packs that are lacking, each once on this link. */
  async reportMissing(): Promise<void> {
    const { folder } = this.options;
    const missing = this.deps.store.missingPacks?.() ?? [];
    const packs = missing.filter((hash) => !this.reported.has(hash.toString('hex')));
    for (let at = 0; at < packs.length; at += limits.missingPacksMax) {
      const part = packs.slice(at, at + limits.missingPacksMax);
      await this.deps.send({ type: 'missing', folder, packs: part });
    }
    for (const hash of packs) this.reported.add(hash.toString('hex'));
  }

  private async completeIndex(): Promise<void> {
    await this.withRoom(async () => {
      const { store } = this.deps;
      const { indexId, sequence, token } = this.durablePosition();
      // an index that named nothing is taken up all the same: everything of the one before is deleted
      if (store.position()?.indexId.equals(indexId) !== true) {
        const nothing = { records: [], missing: [], isHead: true };
        await store.commit({ indexId, ...nothing, through: sequence, token });
      }
      await store.completeIndex({ indexId, sequence, token });
      this.complete = true;
      this.setBlocked(null);
    });
  }

  /** The store's checkpoint in this index; its beginning where there is none yet. */
  private durablePosition(): FeedPosition {
    const position = this.deps.store.position();
    const { indexId } = this.options;
    return position?.indexId.equals(indexId) === true
      ? position
      : { indexId, sequence: 0, token: emptyToken };
  }

  /** Does the work, again and again while the store has no room for it. False when it was stopped before. */
  private async withRoom(work: () => Promise<void>): Promise<boolean> {
    for (;;) {
      if (this.stopping.signal.aborted) return false;
      try {
        await work();
        return true;
      } catch (error) {
        const lacksRoom = isCoded(error, 'STORE_FULL') || isCoded(error, 'QUOTA_REACHED');
        // room would not help a store that has to be opened again
        if (!lacksRoom || this.deps.store.mustReopen) throw error;
        const told = this.blocked?.code === error.code;
        this.setBlocked(error);
        const { code, message, hint } = error;
        const { folder } = this.options;
        if (!told) await this.deps.send({ type: 'refuse', folder, code, message, hint });
        await this.deps.sleep(this.options.retryDelayMs, this.stopping.signal);
      }
    }
  }

  private setBlocked(reason: CodedError | null): void {
    if (this.blocked?.code === reason?.code) return;
    this.blocked = reason;
    this.deps.onBlocked(this.options.folder, reason);
  }
}

/** A commit under way, and the contents that it makes held. */
type Committing = { hashes: ReadonlySet<string>; done: Promise<void> };

const noHashes: ReadonlySet<string> = new Set();
