import type Database from 'better-sqlite3';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { isDamage } from '../../shared/io/schema-database.ts';
import { FolderIndex } from '../index/folder-index.ts';
import { FolderScanner, type FolderThread } from './folder-scanner.ts';
import type { ScanWaiter } from './full-scan.ts';
import { createIgnoreRules, type IgnoreRules } from '../ignore-rules.ts';
import type { FolderCondition, IndexedFolder, IndexerOptions } from './indexer-options.ts';
import { lookAtSource, type IntactSource, type SourceBaseline, type SourceLook } from './source-guard.ts';

export type FolderIndexerDeps = FolderThread & {
  database: Database.Database;
  onCondition(condition: FolderCondition): void;
};

/**
 * One folder of the agent: when it is scanned, paused or stopped, and the guard that records nothing from a source that
 * vanished. The work itself is its scanner's.
 */
export class FolderIndexer {
  readonly index: FolderIndex;
  private readonly folder: IndexedFolder;
  private readonly deps: FolderIndexerDeps;
  private readonly options: IndexerOptions;
  private readonly rules: IgnoreRules;
  private readonly scanner: FolderScanner;
  private state: 'idle' | 'stopped' | 'paused' = 'idle';
  private stateReason: string | null = null;
  private nextFullScanMs: number;
  private nextHotScanMs: number;
  private told = '';
  /**
   * Why the first full scan ends in a new index; null where it does not. An index that was rolled back knows of files as
   * they were: announced before the scan, they would replace what receivers got later, or come to life again there.
   */
  private renewal: string | null = null;

  constructor(deps: FolderIndexerDeps, folder: IndexedFolder, options: IndexerOptions) {
    this.deps = deps;
    this.folder = folder;
    this.options = options;
    this.index = new FolderIndex(deps.database, folder.id);
    this.rules = createIgnoreRules(folder.ignore);
    this.scanner = new FolderScanner(
      {
        ...deps,
        index: this.index,
        rules: this.rules,
        takesLooks: () => this.state === 'idle',
        requireSource: () => this.requireSource(),
        beforeComplete: () => this.renewNow(),
        onScanned: () => this.scanned(),
      },
      folder,
      options,
    );
    const now = deps.clock.monotonicMs();
    this.nextFullScanMs = now + options.fullScanIntervalMs;
    this.nextHotScanMs = now + options.hotScanIntervalMs;
  }

  get condition(): FolderCondition {
    return {
      state: this.state === 'idle' && this.scanner.isScanning ? 'scanning' : this.state,
      stateReason: this.stateReason,
      ...this.scanner.lastScan.condition,
      // Nothing is watched while the source is away.
      ...(this.state === 'stopped' ? { watching: 'off', reason: null } : this.scanner.watchStatus),
    };
  }

  /** A full scan that begins after this call. */
  requestScan(waiter: ScanWaiter): void {
    if (this.state === 'paused') {
      waiter.reject(
        new CodedError('FOLDER_PAUSED', `folder ${this.folder.id} is paused`, {
          hint: 'end it with "mastokeep-agent resume"',
        }),
      );
      return;
    }
    this.scanner.wantScan(waiter);
    if (this.state === 'stopped') this.recheckSource();
  }

  pause(): void {
    this.finishBatch();
    this.scanner.abandon(new CodedError('FOLDER_PAUSED', `folder ${this.folder.id} was paused`));
    this.state = 'paused';
    this.stateReason = null;
    this.tell();
  }

  resume(): void {
    if (this.state !== 'paused') return;
    this.state = 'idle';
    this.scanner.wantScan();
    this.tell();
  }

  /**
   * Takes the source as it is now; a full scan follows. False where it is as it was, so that there was nothing to accept.
   * @throws CodedError SOURCE_STOPPED when there is no source to take
   */
  accept(): boolean {
    const look = this.lookAtSource();
    if (look.current === null) throw this.stoppedError(look.problem === null ? '' : look.reason);
    if (look.problem !== null) {
      this.index.writeSource(JSON.stringify(look.current), look.empty);
      this.deps.logger.info({ folder: this.folder.id, problem: look.problem }, 'source accepted');
    }
    const wasStopped = this.state === 'stopped';
    if (wasStopped) this.proceed();
    return wasStopped || look.problem !== null;
  }

  markDirty(path: RelativePath): void {
    this.scanner.markDirty(path);
  }

  /** An acknowledgement of another indexId is about another history. */
  acknowledge(receiverId: string, position: { indexId: Uint8Array; sequence: number }): void {
    if (this.index.indexId.equals(position.indexId)) this.index.acknowledge(receiverId, position.sequence);
  }

  /** A new index: at once where a full scan has ended since the start, otherwise at the end of the first one. */
  renew(reason: string): void {
    if (!this.scanner.hasScanned) {
      this.renewal ??= reason;
      return;
    }
    this.finishBatch();
    this.beginIndex(reason);
    this.scanner.restartScan();
    this.deps.onChange();
  }

  private beginIndex(reason: string): void {
    this.deps.logger.warn({ folder: this.folder.id, reason }, 'index renewed');
    this.index.renew();
  }

  /** Works until the slice is over. Gives whether there is more to do at once. */
  step(): boolean {
    if (this.state !== 'idle') return false;
    try {
      return this.scanner.work();
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
      else if (this.state === 'idle') this.scanner.lookAtHotDirectories();
    }
    if (now >= this.nextFullScanMs) {
      this.nextFullScanMs = now + this.options.fullScanIntervalMs;
      this.scanner.wantScan();
    }
    return Math.min(this.nextHotScanMs, this.nextFullScanMs, this.scanner.nextDueMs());
  }

  /** Commits what was found and ends; nothing is recorded afterwards. */
  async stop(): Promise<void> {
    if (this.state === 'idle') this.finishBatch();
    this.scanner.abandon(new CodedError('NOT_RUNNING', 'the indexer stops'));
    this.state = 'paused';
    await this.scanner.close();
  }

  private finishBatch(): void {
    try {
      this.scanner.commit();
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
  private requireSource(): IntactSource {
    const look = this.lookAtSource();
    if (look.problem !== null) throw this.stoppedError(look.reason);
    return look;
  }

  private renewNow(): void {
    if (this.renewal === null) return;
    this.beginIndex(this.renewal);
    this.renewal = null;
  }

  private scanned(): void {
    this.nextFullScanMs = this.deps.clock.monotonicMs() + this.options.fullScanIntervalMs;
    this.stateReason = null;
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
    this.scanner.abandon(error);
    this.state = 'stopped';
    this.stateReason = reason;
    this.scanner.forgetHotDirectories();
    this.nextHotScanMs = this.deps.clock.monotonicMs() + this.options.sourceCheckIntervalMs;
    if (isNew) {
      const fields = { folder: this.folder.id, code: error.code, reason };
      this.deps.logger.error(fields, 'folder stopped: its source looks vanished');
    }
    this.tell();
  }

  private proceed(): void {
    // What the watcher told meanwhile was about the old watches.
    this.scanner.forgetHotDirectories();
    this.state = 'idle';
    this.stateReason = null;
    this.scanner.wantScan();
    this.nextHotScanMs = this.deps.clock.monotonicMs() + this.options.hotScanIntervalMs;
    this.tell();
  }

  private stoppedError(reason: string): CodedError {
    return new CodedError('SOURCE_STOPPED', `folder ${this.folder.id} is stopped: ${reason}`, {
      hint: `bring the source back, or run "mastokeep-agent accept ${this.folder.id}" if it is meant to look like this`,
    });
  }

  /**
   * What was thrown ended all work under way. A vanished source stops the folder; where the database or the file
   * system failed, the next scan begins soon. Anything else is a defect.
   */
  private recover(error: unknown): void {
    if (!(error instanceof Error && 'code' in error) || isDamage(error)) throw error;
    const look = this.lookAtSource();
    if (look.problem !== null) {
      this.halt(look.reason);
      return;
    }
    if (isCoded(error, 'SOURCE_STOPPED')) {
      this.scanner.restartScan();
      return;
    }
    const reason = `scan failed: ${error.message}`;
    const failure = new CodedError('DISK_FAILED', `folder ${this.folder.id}: ${reason}`, { cause: error });
    this.deps.logger.error({ folder: this.folder.id, reason }, 'scan failed');
    this.scanner.abandon(failure);
    this.stateReason = reason;
    const soon = this.deps.clock.monotonicMs() + this.options.hotScanIntervalMs;
    this.nextFullScanMs = Math.min(this.nextFullScanMs, soon);
  }

  private tell(): void {
    const condition = this.condition;
    const text = JSON.stringify(condition);
    if (text === this.told) return;
    this.told = text;
    this.deps.onCondition(condition);
  }
}
