import fs from 'node:fs';
import type Database from 'better-sqlite3';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { Logger } from '../../shared/io/logger.ts';
import { displayPath, parentPath, rootPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { isDamage } from '../../shared/io/schema-database.ts';
import { checkpointRecordsMax, FolderIndex, type PathChange } from '../index/folder-index.ts';
import { openDirectoryBelow } from '../index/source-file.ts';
import { ChangeBatch } from './change-batch.ts';
import type { Clock } from './clock.ts';
import type { ContentReader } from './content-reader.ts';
import { scanDirectory } from './directory-scan.ts';
import type { CreateDirectoryWatcher } from './directory-watcher.ts';
import { FolderLooks } from './folder-looks.ts';
import { FolderWatch, type LookRequest } from './folder-watch.ts';
import { FullScan, type ScanReport, type ScanWaiter } from './full-scan.ts';
import { createIgnoreRules, type IgnoreRules } from './ignore-rules.ts';
import type { FolderCondition, IndexedFolder, IndexerOptions } from './indexer-options.ts';
import type { ScanSink } from './scan-sink.ts';
import { signatureOf } from './signature.ts';
import { lookAtSource, type SourceBaseline, type SourceLook } from './source-guard.ts';

export type FolderIndexerDeps = {
  database: Database.Database;
  clock: Clock;
  logger: Logger;
  reader: ContentReader;
  createWatcher: CreateDirectoryWatcher;
  /** True when the thread has been kept long enough. */
  sliceIsOver(): boolean;
  /** Something came that is to be done soon. */
  wake(): void;
  /** Records were committed, or another durable fact of the feed changed. */
  onChange(): void;
  onCondition(condition: FolderCondition): void;
};

const lookAgainMs = 100;
const commitDelayMs = 500;
const pathsReportedMax = 20;
const pathsKeptMax = 10_000;

/**
 * Keeps one folder's index like its source: full scans, looks at single directories, files that have to settle, and
 * the guard that records nothing from a source that vanished. Works in slices; looks go before the full scan.
 */
export class FolderIndexer {
  readonly index: FolderIndex;
  private readonly folder: IndexedFolder;
  private readonly deps: FolderIndexerDeps;
  private readonly options: IndexerOptions;
  private readonly rules: IgnoreRules;
  private readonly watch: FolderWatch;
  private readonly sink: ScanSink;
  private readonly looks: FolderLooks;
  private readonly batch = new ChangeBatch();
  private readonly touched = new Set<RelativePath>();
  private scan: FullScan | null = null;
  private nextWaiters: ScanWaiter[] = [];
  private wantsScan = false;
  private network = false;
  private state: 'idle' | 'stopped' | 'paused' = 'idle';
  private stateReason: string | null = null;
  private lastUnreadable: ReadonlySet<RelativePath> = new Set();
  private lastSpecials = 0;
  private oldestChangeMs = 0;
  private nextFullScanMs: number;
  private nextHotScanMs: number;
  private seeded = false;
  private slices = 0;
  /** Whether a look, not the walk, found something that waits for its commit. */
  private urgent = false;
  private current: 'look' | 'walk' = 'walk';
  private told = '';

  constructor(deps: FolderIndexerDeps, folder: IndexedFolder, options: IndexerOptions) {
    this.deps = deps;
    this.folder = folder;
    this.options = options;
    this.index = new FolderIndex(deps.database, folder.id);
    this.rules = createIgnoreRules(folder.ignore);
    this.watch = new FolderWatch(
      { createWatcher: deps.createWatcher, look: (request) => this.requestLook(request) },
      options,
    );
    this.sink = this.createSink();
    this.looks = new FolderLooks({
      clock: deps.clock,
      isNetwork: () => this.network,
      root: folder.root,
      sink: this.sink,
      requestLook: (request) => this.requestLook(request),
      vanished: (directory) => this.watch.vanished(directory),
      requireSource: () => {
        this.requireSource();
      },
    });
    const now = deps.clock.monotonicMs();
    this.nextFullScanMs = now + options.fullScanIntervalMs;
    this.nextHotScanMs = now + options.hotScanIntervalMs;
    this.wantsScan = true;
  }

  get condition(): FolderCondition {
    const { watching, reason } = this.watch.status;
    return {
      state: this.state === 'idle' && this.scan !== null ? 'scanning' : this.state,
      stateReason: this.stateReason,
      unreadable: this.lastUnreadable.size,
      unreadablePaths: [...this.lastUnreadable].slice(0, pathsReportedMax).map((path) => displayPath(path)),
      skippedSpecial: this.lastSpecials,
      watching,
      reason,
    };
  }

  /** A full scan that begins after this call. */
  requestScan(waiter: ScanWaiter): void {
    if (this.state === 'paused') {
      waiter.reject(new CodedError('FOLDER_PAUSED', `folder ${this.folder.id} is paused`));
      return;
    }
    this.nextWaiters.push(waiter);
    this.wantsScan = true;
    if (this.state === 'stopped') this.recheckSource();
  }

  pause(): void {
    this.finishBatch();
    this.abandon(new CodedError('FOLDER_PAUSED', `folder ${this.folder.id} was paused`));
    this.state = 'paused';
    this.stateReason = null;
    this.tell();
  }

  resume(): void {
    if (this.state !== 'paused') return;
    this.state = 'idle';
    this.wantsScan = true;
    this.tell();
  }

  /** Takes the source as it is now; a full scan follows. @throws CodedError SOURCE_STOPPED when there is nothing to take */
  accept(): void {
    const look = this.lookAtSource();
    if (look.current === null) throw this.stoppedError(look.problem === null ? '' : look.reason);
    if (look.problem !== null) {
      this.index.writeSource(JSON.stringify(look.current), look.empty);
      this.deps.logger.info({ folder: this.folder.id, problem: look.problem }, 'source accepted');
    }
    if (this.state === 'stopped') this.proceed();
  }

  markDirty(path: RelativePath): void {
    if (this.batch.has(path)) this.commit();
    this.index.markDirty(path);
  }

  /** An acknowledgement of another indexId is about another history. */
  acknowledge(receiverId: string, position: { indexId: Uint8Array; sequence: number }): void {
    if (this.index.indexId.equals(position.indexId)) this.index.acknowledge(receiverId, position.sequence);
  }

  renew(reason: string): void {
    this.finishBatch();
    this.deps.logger.warn({ folder: this.folder.id, reason }, 'index renewed');
    this.index.renew();
    this.restartScan();
    this.deps.onChange();
  }

  /** Works until the slice is over. Gives whether there is more to do at once. */
  step(): boolean {
    if (this.state !== 'idle') return false;
    try {
      return this.work();
    } catch (error) {
      this.recover(error);
      return false;
    } finally {
      this.tell();
    }
  }

  /** Begins what is due by the clock. Gives the monotonic time at which to call again. */
  tick(): number {
    const now = this.deps.clock.monotonicMs();
    if (now >= this.nextHotScanMs) {
      const stopped = this.state === 'stopped';
      this.nextHotScanMs =
        now + (stopped ? this.options.sourceCheckIntervalMs : this.options.hotScanIntervalMs);
      if (stopped) this.recheckSource();
      else if (this.state === 'idle') this.lookAtHotDirectories();
    }
    if (now >= this.nextFullScanMs) {
      this.nextFullScanMs = now + this.options.fullScanIntervalMs;
      this.wantsScan = true;
    }
    const due = this.state === 'idle' ? this.looks.nextDueMs() : null;
    const deadline = this.scan?.deadlineMs ?? Number.POSITIVE_INFINITY;
    return Math.min(this.nextHotScanMs, this.nextFullScanMs, due ?? Number.POSITIVE_INFINITY, deadline);
  }

  /** Commits what was found and ends; nothing is recorded afterwards. */
  async stop(): Promise<void> {
    if (this.state === 'idle') this.finishBatch();
    this.abandon(new CodedError('NOT_RUNNING', 'the indexer stops'));
    this.state = 'paused';
    await this.watch.close();
  }

  private work(): boolean {
    this.slices += 1;
    // Looks go first, but a storm of them leaves every fourth slice to the walk.
    const walksFirst = this.slices % 4 === 0 && this.scan?.waitingFor === null;
    while (!this.deps.sliceIsOver()) {
      if (!walksFirst && this.looks.begin()) {
        this.advanceLook();
        continue;
      }
      const now = this.deps.clock.monotonicMs();
      const patience = this.scan?.waitingFor === null && !this.urgent ? commitDelayMs : 0;
      if (this.batch.size > 0 && now - this.oldestChangeMs >= patience) this.commit();
      if (this.scan === null && !this.startScan()) return false;
      if (this.scan !== null && !this.advanceScan(this.scan)) {
        return this.batch.size > 0 || this.looks.isBusy;
      }
    }
    return true;
  }

  private advanceLook(): void {
    this.current = 'look';
    const settled = this.looks.advance();
    this.current = 'walk';
    if (settled !== null) this.scan?.waitingFor?.delete(settled);
  }

  /** Begins a full scan where one is wanted; false when there is nothing to do. */
  private startScan(): boolean {
    if (!this.wantsScan) return false;
    const baseline = JSON.stringify(this.requireSource());
    this.wantsScan = false;
    const known = this.index.readSource();
    if (known.baseline !== baseline) this.index.writeSource(baseline, known.acceptEmpty);
    this.scan = new FullScan({
      waiters: this.nextWaiters,
      startedAtMs: this.deps.clock.monotonicMs(),
      walk: this.walkAll(),
      recentMax: this.options.hotDirectoriesMax,
    });
    this.nextWaiters = [];
    return true;
  }

  private *walkAll(): Generator<undefined, void> {
    const fd = openDirectoryBelow(this.folder.root, rootPath);
    try {
      const stat = fs.fstatSync(fd, { bigint: true });
      yield* scanDirectory(this.sink, { path: rootPath, fd, stat, parentStat: null }, 'all');
    } finally {
      fs.closeSync(fd);
    }
  }

  /** Goes on with the full scan; false when it waits for files to settle. */
  private advanceScan(scan: FullScan): boolean {
    const now = this.deps.clock.monotonicMs();
    if (scan.waitingFor === null) {
      if (scan.walk.next().done !== true) return true;
      scan.waitingFor = new Set(this.looks.settlingPaths());
      scan.deadlineMs = now + this.options.settleWaitMsMax;
      return true;
    }
    if (scan.waitingFor.size > 0 && now < scan.deadlineMs) return false;
    this.finishScan(scan, scan.waitingFor);
    return true;
  }

  private finishScan(scan: FullScan, unsettled: ReadonlySet<RelativePath>): void {
    this.commit();
    const unnamed = [...unsettled].some((path) => this.index.get(path) === null);
    this.index.finishScan(this.deps.clock.wallMs(), !scan.incomplete && !unnamed);
    this.index.pruneCheckpoints();
    this.scan = null;
    const now = this.deps.clock.monotonicMs();
    this.nextFullScanMs = now + this.options.fullScanIntervalMs;
    this.stateReason = null;
    this.reportUnreadable(scan);
    this.lastSpecials = scan.specials;
    if (this.seeded) this.watch.madeGood();
    else this.watch.touched(scan.recentDirectories());
    this.seeded = true;
    const { files, bytes } = this.index.totals;
    const report: ScanReport = {
      folderId: this.folder.id,
      files,
      bytes,
      changed: scan.changed,
      unreadable: scan.unreadable.size,
      unsettled: unsettled.size,
      skippedSpecial: scan.specials,
      durationMs: Math.round(now - scan.startedAtMs),
    };
    this.deps.logger.info({ folder: this.folder.id, ...report }, 'full scan done');
    this.deps.onChange();
    for (const waiter of scan.waiters) waiter.resolve(report);
  }

  private reportUnreadable(scan: FullScan): void {
    const fresh = [...scan.unreadable].filter((path) => !this.lastUnreadable.has(path));
    if (fresh.length > 0) {
      const paths = fresh.slice(0, pathsReportedMax).map((path) => displayPath(path));
      this.deps.logger.warn({ folder: this.folder.id, count: fresh.length, paths }, 'paths cannot be read');
    }
    this.lastUnreadable = scan.unreadable;
  }

  /** Commits what was found. @throws CodedError SOURCE_STOPPED, and nothing is recorded, when the source has vanished meanwhile */
  private commit(): void {
    if (this.batch.size === 0) return;
    this.requireSource();
    this.urgent = false;
    const { records } = this.index.commit(this.batch.take());
    const touched = [...this.touched];
    this.touched.clear();
    if (records === 0) return;
    if (this.scan !== null) this.scan.changed += records;
    if (this.seeded) this.watch.touched(touched);
    this.deps.onChange();
  }

  private finishBatch(): void {
    try {
      this.commit();
    } catch (error) {
      this.recover(error);
    }
  }

  private lookAtSource(): SourceLook {
    const { baseline, acceptEmpty } = this.index.readSource();
    return lookAtSource({
      root: this.folder.root,
      baseline: baseline === null ? null : (JSON.parse(baseline) as SourceBaseline),
      hasLivePaths: !this.index.isEmpty,
      acceptEmpty,
      ignores: (path, isDirectory) => this.rules.ignores(path, isDirectory),
    });
  }

  /** @throws CodedError SOURCE_STOPPED when the source is not what it was; `recover` stops the folder then */
  private requireSource(): SourceBaseline {
    const look = this.lookAtSource();
    if (look.problem !== null) throw this.stoppedError(look.reason);
    this.network = look.network;
    this.watch.setRoot(look.realRoot);
    return look.current;
  }

  /** A stopped folder goes on by itself when its source is back as it was. */
  private recheckSource(): void {
    const look = this.lookAtSource();
    if (look.problem === null) this.proceed();
    else this.halt(look.reason);
  }

  private halt(reason: string): void {
    const error = this.stoppedError(reason);
    const isNew = this.state !== 'stopped';
    this.abandon(error);
    this.state = 'stopped';
    this.stateReason = reason;
    this.nextHotScanMs = this.deps.clock.monotonicMs() + this.options.sourceCheckIntervalMs;
    if (isNew) {
      const fields = { folder: this.folder.id, code: error.code, reason };
      this.deps.logger.error(fields, 'folder stopped: its source looks vanished');
    }
    this.tell();
  }

  private proceed(): void {
    this.state = 'idle';
    this.stateReason = null;
    this.wantsScan = true;
    this.nextHotScanMs = this.deps.clock.monotonicMs() + this.options.hotScanIntervalMs;
    this.tell();
  }

  private stoppedError(reason: string): CodedError {
    return new CodedError('SOURCE_STOPPED', `folder ${this.folder.id} is stopped: ${reason}`, {
      hint: `bring the source back, or run "mastokeep-agent accept ${this.folder.id}" if it is meant to look like this`,
    });
  }

  /** Drops work and uncommitted findings; the index and the tree still differ there, so a later scan finds them. */
  private abandon(error: Error): void {
    this.scan?.walk.return();
    const waiters = [...(this.scan?.waiters ?? []), ...this.nextWaiters];
    this.scan = null;
    this.nextWaiters = [];
    this.batch.take();
    this.urgent = false;
    this.touched.clear();
    this.looks.clear();
    for (const waiter of waiters) waiter.reject(error);
  }

  private restartScan(): void {
    this.scan?.walk.return();
    this.nextWaiters = [...(this.scan?.waiters ?? []), ...this.nextWaiters];
    this.scan = null;
    this.wantsScan = true;
  }

  /**
   * What was thrown ended all work under way. A vanished source stops the folder; where the database or the file
   * system failed, the next scan begins soon. Anything else is a defect.
   */
  private recover(error: unknown): void {
    if (!(error instanceof Error && 'code' in error) || isDamage(error)) throw error;
    this.current = 'walk';
    const look = this.lookAtSource();
    if (look.problem !== null) {
      this.halt(look.reason);
      return;
    }
    if (isCoded(error, 'SOURCE_STOPPED')) {
      this.restartScan();
      return;
    }
    const reason = `scan failed: ${error.message}`;
    const failure = new CodedError('DISK_FAILED', `folder ${this.folder.id}: ${reason}`, { cause: error });
    this.deps.logger.error({ folder: this.folder.id, reason }, 'scan failed');
    this.abandon(failure);
    this.stateReason = reason;
    const soon = this.deps.clock.monotonicMs() + this.options.hotScanIntervalMs;
    this.nextFullScanMs = Math.min(this.nextFullScanMs, soon);
  }

  private lookAtHotDirectories(): void {
    for (const directory of this.watch.hotDirectories) this.requestLook({ directory, into: [] });
    for (const path of this.index.dirtyPaths(this.options.settlingMax)) {
      this.looks.settle(path, '', 0, Number.POSITIVE_INFINITY);
    }
  }

  private requestLook(request: LookRequest): void {
    if (this.state !== 'idle') return;
    this.looks.request(request);
    this.deps.wake();
  }

  private tell(): void {
    const condition = this.condition;
    const text = JSON.stringify(condition);
    if (text === this.told) return;
    this.told = text;
    this.deps.onCondition(condition);
  }

  private addChange(change: PathChange): void {
    if (this.batch.has(change.path) || this.batch.size >= checkpointRecordsMax) this.commit();
    if (this.current === 'look') this.urgent = true;
    if (this.batch.size === 0) this.oldestChangeMs = this.deps.clock.monotonicMs();
    this.batch.add(change);
    if (change.state.kind === 'deleted') return;
    const directory = parentPath(change.path) ?? rootPath;
    // The last one counts as the most recent.
    this.touched.delete(directory);
    this.touched.add(directory);
    if (change.state.kind === 'directory') this.touched.add(change.path);
  }

  private queue(path: RelativePath, signature: string, delayMs: number): void {
    if (this.looks.settle(path, signature, delayMs, this.options.settlingMax)) return;
    this.wantsScan = true;
    if (this.scan !== null) this.scan.incomplete = true;
  }

  private createSink(): ScanSink {
    return {
      index: this.index,
      rules: this.rules,
      reader: this.deps.reader,
      isNetwork: () => this.network,
      nowMs: () => this.deps.clock.wallMs(),
      sliceIsOver: () => this.deps.sliceIsOver(),
      beforeDirectory: (directory) => {
        if (this.batch.concerns(directory)) this.commit();
      },
      change: (change) => this.addChange(change),
      unsettled: (path, stat, lookAgainInMs) =>
        this.queue(path, signatureOf(stat, this.network), lookAgainInMs),
      lookAgain: (directory) => this.queue(directory, '', lookAgainMs),
      unreadable: (path, _error, named) => {
        if (this.scan === null) return;
        if (!named) this.scan.incomplete = true;
        if (this.scan.unreadable.size < pathsKeptMax) this.scan.unreadable.add(path);
      },
      special: () => {
        if (this.scan !== null && this.current === 'walk') this.scan.specials += 1;
      },
      listed: (directory, newestNs) => this.noteListed(directory, newestNs),
    };
  }

  private noteListed(directory: RelativePath, newestNs: bigint): void {
    if (!this.seeded) this.scan?.noteDirectory(directory, newestNs);
  }
}
