import fs from 'node:fs';
import { Worker } from 'node:worker_threads';
import type Database from 'better-sqlite3';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { Logger } from '../../shared/io/logger.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';
import type { FolderFeed } from '../index/folder-feed.ts';
import type { FolderCondition, FolderState, IndexedFolder, IndexerOptions } from './indexer-options.ts';
import type { ScanReport } from './full-scan.ts';
import { IndexedFeed } from './indexed-feed.ts';
import type {
  IndexerAnswer,
  IndexerCommand,
  IndexerError,
  IndexerEvent,
  IndexerRequest,
  IndexerWorkerData,
} from './indexer-message.ts';
import { workerEntry } from '../../shared/io/worker-entry.ts';

/** The intervals and bounds of an agent that is not told otherwise. */
export const indexerDefaults: IndexerOptions = {
  fullScanIntervalMs: 3_600_000,
  hotScanIntervalMs: 60_000,
  sourceCheckIntervalMs: 15_000,
  settleWaitMsMax: 60_000,
  settlingMax: 100_000,
  hotDirectoriesMax: 8192,
  scanEntriesPerSecond: null,
  watchLimit: 2048,
};

/** A folder as `status` shows it. */
export type FolderStatus = {
  state: FolderState;
  /** Why it is stopped or what failed last; null when all is well. */
  reason: string | null;
  /** Live regular files and the sum of their sizes. */
  files: number;
  bytes: number;
  sequence: number;
  /** ms since 1970; null before the first full scan. */
  lastScanAt: number | null;
  unreadable: number;
  /** Some of them, for people. */
  unreadablePaths: string[];
  skippedSpecial: number;
  watching: 'ok' | 'degraded' | 'off';
  watchingReason: string | null;
};

/** What serving reads comes in the order of sequences, and once. */
const reading = { readonly: true, cacheBytesMax: 1024 * 1024 };

type Pending = { resolve: (answer: IndexerAnswer) => void; reject: (error: Error) => void };
type Running = { worker: Worker; database: Database.Database };

/**
 * The agent's index and its keeper in a thread, as the rest of the agent sees them. Everything here returns at once or
 * waits for the thread, which answers within about 50 ms whatever it is doing.
 */
export class Indexer {
  private readonly logger: Logger;
  private readonly onFailure: (error: CodedError) => void;
  private readonly databaseFile: string;
  private readonly options: IndexerOptions;
  private readonly feeds = new Map<string, IndexedFeed>();
  private readonly conditions = new Map<string, FolderCondition>();
  private readonly conditionListeners = new Set<(folderId: string) => void>();
  private readonly pending = new Map<number, Pending>();
  private running: Running | null = null;
  private lastId = 0;
  private stopping = false;

  /**
   * `databaseFile`: `<home>/index.db`. `onFailure` is called once when the thread ended by a defect or a damaged
   * database: the agent cannot go on and has to be started again, a damaged database is set aside by then.
   */
  constructor(
    deps: { logger: Logger; onFailure: (error: CodedError) => void },
    options: IndexerOptions & { databaseFile: string },
  ) {
    const { databaseFile, ...rest } = options;
    this.logger = deps.logger;
    this.onFailure = deps.onFailure;
    this.databaseFile = databaseFile;
    this.options = rest;
  }

  /**
   * Opens the index (a damaged one is set aside and a new one begun, which costs a full index and no transfer) and
   * begins the first full scan of every folder. Resolves when feeds can be read.
   */
  async start(folders: readonly IndexedFolder[]): Promise<void> {
    const worker = await this.startWorker().catch((error: unknown) => {
      if (!(error instanceof CodedError) || error.code !== 'DATABASE_CORRUPT') throw error;
      this.setAside();
      return this.startWorker();
    });
    this.running = { worker, database: openDatabase(this.databaseFile, reading) };
    for (const folder of folders) await this.addFolder(folder);
  }

  /** Resolves when the folder has a feed; its first full scan begins. */
  async addFolder(folder: IndexedFolder): Promise<void> {
    const { database } = this.requireRunning();
    await this.request({ type: 'addFolder', folder });
    const feed = new IndexedFeed(
      {
        database,
        root: folder.root,
        request: (command) => this.request(command),
        send: (command) => this.send(command),
      },
      folder.id,
    );
    this.feeds.set(folder.id, feed);
  }

  /** Ends indexing of the folder. Its index stays for the day it is added again, unless it is to be forgotten. */
  async removeFolder(folderId: string, options: { forget: boolean } = { forget: false }): Promise<void> {
    this.feeds.delete(folderId);
    await this.request({ type: 'removeFolder', folderId, forget: options.forget });
    this.conditions.delete(folderId);
  }

  /** @throws CodedError FOLDER_UNKNOWN */
  feed(folderId: string): FolderFeed {
    return this.requireFeed(folderId);
  }

  /**
   * Resolves when a full scan that began after this call is done and committed, with the files that had to settle.
   * @throws CodedError SOURCE_STOPPED, FOLDER_PAUSED, FOLDER_UNKNOWN, DISK_FAILED
   */
  async scan(folderId?: string): Promise<ScanReport[]> {
    if (folderId !== undefined) this.requireFeed(folderId);
    const ids = folderId === undefined ? [...this.feeds.keys()] : [folderId];
    const results = await Promise.allSettled(ids.map((id) => this.request({ type: 'scan', folderId: id })));
    return results.flatMap((result) => {
      if (result.status === 'rejected') throw result.reason;
      const { value } = result;
      return value !== null && 'folderId' in value ? [value] : [];
    });
  }

  /**
   * Takes a stopped source as it is now; durable when it resolves, and a full scan begins. Resolves with false, without
   * effect, for a source that is as it was.
   * @throws CodedError SOURCE_STOPPED when the root is missing or unreadable, so that there is nothing to take
   */
  async accept(folderId: string): Promise<boolean> {
    this.requireFeed(folderId);
    const answer = await this.request({ type: 'accept', folderId });
    return answer !== null && 'accepted' in answer && answer.accepted;
  }

  /** Commits what was found and touches no source until `resume`, which begins a full scan. */
  async pause(): Promise<void> {
    await this.request({ type: 'pause' });
  }

  async resume(): Promise<void> {
    await this.request({ type: 'resume' });
  }

  /** An unpaired receiver no longer keeps old positions alive. */
  async forgetReceiver(receiverId: DeviceId): Promise<void> {
    for (const feed of this.feeds.values()) feed.forget(receiverId);
    await this.request({ type: 'forgetReceiver', receiverId });
  }

  /** @throws CodedError FOLDER_UNKNOWN */
  status(folderId: string): FolderStatus {
    const row = this.requireFeed(folderId).reader.folder();
    const condition = this.conditions.get(folderId);
    return {
      state: condition?.state ?? 'idle',
      reason: condition?.stateReason ?? null,
      files: row.files,
      bytes: row.bytes,
      sequence: row.next_sequence - 1,
      lastScanAt: row.last_scan_at,
      unreadable: condition?.unreadable ?? 0,
      unreadablePaths: condition?.unreadablePaths ?? [],
      skippedSpecial: condition?.skippedSpecial ?? 0,
      watching: condition?.watching ?? 'off',
      watchingReason: condition?.reason ?? null,
    };
  }

  /** Called when a folder's state or watching changed. Gives the function that stops it. */
  onStatus(listener: (folderId: string) => void): () => void {
    this.conditionListeners.add(listener);
    return () => this.conditionListeners.delete(listener);
  }

  /** Commits the batch under way and ends the thread; durable when it resolves. Waiting scans are rejected. */
  async stop(): Promise<void> {
    const running = this.running;
    if (running === null) return;
    this.stopping = true;
    const ended = new Promise((resolve) => running.worker.once('exit', resolve));
    await this.request({ type: 'stop' });
    await ended;
    running.database.close();
    this.running = null;
    this.feeds.clear();
  }

  private async startWorker(): Promise<Worker> {
    const workerData: IndexerWorkerData = { databaseFile: this.databaseFile, options: this.options };
    const worker = new Worker(workerEntry('indexer-worker', import.meta.url), {
      workerData,
      // A scan leaves much short-lived garbage; V8 would keep ten times this for it.
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    await new Promise<void>((resolve, reject) => {
      const fail = (error: Error) => {
        void worker.terminate();
        reject(error);
      };
      worker.once('error', fail);
      worker.once('message', (event: IndexerEvent) => {
        worker.off('error', fail);
        if (event.type === 'unusable') fail(receivedError(event.error));
        else resolve();
      });
    });
    worker.on('message', (event: IndexerEvent) => this.handle(event));
    worker.on('error', (error) =>
      this.fail(new CodedError('INTERNAL', 'the indexer failed', { cause: error })),
    );
    worker.on('exit', () => {
      if (!this.stopping) this.fail(new CodedError('INTERNAL', 'the indexer ended'));
    });
    return worker;
  }

  private handle(event: IndexerEvent): void {
    switch (event.type) {
      case 'ready':
        return;
      case 'unusable':
        this.fail(receivedError(event.error));
        return;
      case 'reply':
        this.settle(event.id)?.resolve(event.answer);
        return;
      case 'failure':
        this.settle(event.id)?.reject(receivedError(event.error));
        return;
      case 'changed':
        this.feeds.get(event.folderId)?.notify();
        return;
      case 'condition':
        this.conditions.set(event.folderId, event.condition);
        if (this.feeds.has(event.folderId)) {
          for (const listener of this.conditionListeners) listener(event.folderId);
        }
        return;
      case 'log':
        this.logger[event.level](event.fields, event.message);
    }
  }

  private settle(id: number): Pending | undefined {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    return pending;
  }

  private fail(error: CodedError): void {
    if (this.stopping) return;
    this.stopping = true;
    for (const pending of this.pending.values()) pending.reject(error);
    this.pending.clear();
    this.running?.database.close();
    void this.running?.worker.terminate();
    this.running = null;
    if (error.code === 'DATABASE_CORRUPT') this.setAside();
    this.onFailure(error);
  }

  private setAside(): void {
    const aside = `${this.databaseFile}.damaged-${Date.now()}`;
    for (const suffix of ['', '-wal', '-shm']) {
      if (fs.existsSync(this.databaseFile + suffix))
        fs.renameSync(this.databaseFile + suffix, aside + suffix);
    }
    this.logger.error({ file: this.databaseFile, aside }, 'index is damaged, a new one begins');
  }

  private request(command: IndexerCommand): Promise<IndexerAnswer> {
    const running = this.requireRunning();
    this.lastId += 1;
    const id = this.lastId;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      running.worker.postMessage({ id, command } satisfies IndexerRequest);
    });
  }

  private send(command: IndexerCommand): void {
    this.running?.worker.postMessage({ id: null, command } satisfies IndexerRequest);
  }

  private requireRunning(): Running {
    if (this.running === null) throw new CodedError('NOT_RUNNING', 'the indexer does not run');
    return this.running;
  }

  private requireFeed(folderId: string): IndexedFeed {
    const feed = this.feeds.get(folderId);
    if (feed !== undefined) return feed;
    const known = [...this.feeds.keys()].join(', ');
    throw new CodedError('FOLDER_UNKNOWN', `there is no mirror folder "${folderId}"`, {
      hint: `${known === '' ? 'there is none' : `there is ${known}`}; sealed folders are looked at by "mastokeep-agent dump"`,
    });
  }
}

function receivedError({ code, message, hint }: IndexerError): CodedError {
  return new CodedError(code, message, hint === null ? {} : { hint });
}
