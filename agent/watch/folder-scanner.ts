import type { CodedError } from '../../shared/errors/coded-error.ts';
import type { Logger } from '../../shared/io/logger.ts';
import { parentPath, rootPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { DirectoryNote } from '../index/directory-table.ts';
import { checkpointRecordsMax, type FolderIndex, type PathChange } from '../index/folder-index.ts';
import { ChangeBatch } from './change-batch.ts';
import type { Clock } from './clock.ts';
import type { ContentReader } from './content-reader.ts';
import type { CreateDirectoryWatcher } from './directory-watcher.ts';
import { FolderLooks } from './folder-looks.ts';
import { FolderWatch, type LookRequest, type WatchStatus } from './folder-watch.ts';
import { FullScan, type ScanReport, type ScanWaiter } from './full-scan.ts';
import type { IgnoreRules } from '../ignore-rules.ts';
import type { IndexedFolder, IndexerOptions } from './indexer-options.ts';
import { LastScan } from './last-scan.ts';
import type { ScanSink } from './scan-sink.ts';
import { QuietDirectories } from './quiet-directories.ts';
import { signatureOf } from './signature.ts';
import type { IntactSource } from './source-guard.ts';
import { TreeWalk } from './tree-walk.ts';

/** What the folders of a thread are worked on with. */
export type FolderThread = {
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
};

export type FolderScannerDeps = FolderThread & {
  index: FolderIndex;
  rules: IgnoreRules;
  /** Whether looks are taken now; what a folder at rest misses is found by the scan that follows. */
  takesLooks(): boolean;
  /** @throws CodedError SOURCE_STOPPED when the source is not what it was */
  requireSource(): IntactSource;
  /** A full scan has committed what it found; its end is not in the index yet. */
  beforeComplete(): void;
  /** A full scan found everything and is committed. */
  onScanned(): void;
};

const lookAgainMs = 100;
const commitDelayMs = 500;
/** What a look found waits for other looks no longer than this. */
const urgentDelayMs = 20;
/** Notes on directories that wait for a commit. */
const notesMax = 4096;
const pathsKeptMax = 10_000;

/**
 * The work on one folder's index: full scans, looks at single directories, files that have to settle, and the commits of
 * what they found. Works in slices; looks go before the full scan. Whatever is thrown ends the work under way, and
 * nothing uncommitted is lost by it but time.
 */
export class FolderScanner {
  readonly lastScan = new LastScan();
  private readonly folder: IndexedFolder;
  private readonly deps: FolderScannerDeps;
  private readonly options: IndexerOptions;
  private readonly index: FolderIndex;
  private readonly watch: FolderWatch;
  private readonly sink: ScanSink;
  private readonly looks: FolderLooks;
  private readonly quiet: QuietDirectories;
  private readonly batch = new ChangeBatch();
  private readonly touched = new Set<RelativePath>();
  private scan: FullScan | null = null;
  private nextWaiters: ScanWaiter[] = [];
  private wantsScan = true;
  private source: Pick<IntactSource, 'network' | 'keepsTimes' | 'realRoot'>;
  private foundByLooks = 0;
  private readonly doubts = { look: 0, walk: 0 };
  private oldestChangeMs = 0;
  private seeded = false;
  private hasEnded = false;
  private slices = 0;
  /** Whether a look, not the walk, found something that waits for its commit. */
  private urgent = false;
  private current: 'look' | 'walk' = 'walk';

  constructor(deps: FolderScannerDeps, folder: IndexedFolder, options: IndexerOptions) {
    this.deps = deps;
    this.folder = folder;
    this.options = options;
    this.index = deps.index;
    this.source = { network: false, keepsTimes: false, realRoot: folder.root };
    this.quiet = new QuietDirectories(deps.index, () => deps.clock.wallMs());
    this.watch = new FolderWatch(
      {
        createWatcher: deps.createWatcher,
        look: (request) => this.requestLook(request),
        onEvent: () => deps.wake(),
      },
      options,
    );
    this.sink = this.createSink();
    this.looks = new FolderLooks({
      clock: deps.clock,
      isNetwork: () => this.source.network,
      quiet: this.quiet,
      realRoot: () => this.source.realRoot,
      root: folder.root,
      sink: this.sink,
      requestLook: (request) => this.requestLook(request),
      vanished: (directory) => this.watch.vanished(directory),
      requireSource: () => {
        this.checkSource();
      },
    });
  }

  get isScanning(): boolean {
    return this.scan !== null;
  }

  /** Whether a full scan has ended since the start. */
  get hasScanned(): boolean {
    return this.hasEnded;
  }

  get watchStatus(): WatchStatus {
    return this.watch.status;
  }

  /** A full scan that begins after this call; the waiter is told how it ended. */
  wantScan(waiter: ScanWaiter | null = null): void {
    if (waiter !== null) this.nextWaiters.push(waiter);
    this.wantsScan = true;
  }

  /** When something has to be done though nobody asks for it (monotonic ms). */
  nextDueMs(): number {
    const due = this.looks.nextDueMs() ?? Number.POSITIVE_INFINITY;
    const commitAt = this.batch.size > 0 ? this.oldestChangeMs + commitDelayMs : Number.POSITIVE_INFINITY;
    return Math.min(due, this.scan?.dueMs(commitAt) ?? Number.POSITIVE_INFINITY);
  }

  markDirty(path: RelativePath): void {
    if (this.batch.has(path)) this.commit();
    this.index.markDirty(path);
  }

  /** Works until the slice is over. Gives whether there is more to do at once. */
  work(): boolean {
    this.slices += 1;
    // Looks go first, but a storm of them leaves every fourth slice to the walk.
    const walksFirst = this.slices % 4 === 0 && this.scan?.waitingFor === null;
    while (!this.deps.sliceIsOver()) {
      const now = this.deps.clock.monotonicMs();
      if (!walksFirst && this.looks.begin()) {
        if (this.urgent && now - this.oldestChangeMs >= urgentDelayMs) this.commit();
        this.advanceLook();
        continue;
      }
      const patience = this.scan?.waitingFor === null && !this.urgent ? commitDelayMs : 0;
      if (this.batch.size > 0 && now - this.oldestChangeMs >= patience) this.commit();
      if (this.scan === null && !this.startScan()) return false;
      if (this.scan !== null && !this.advanceScan(this.scan)) {
        // a walk that rests leaves what it found to its time
        const rests = this.scan?.waitingFor === null;
        return (this.batch.size > 0 && !rests) || this.looks.isBusy;
      }
    }
    return true;
  }

  private advanceLook(): void {
    this.current = 'look';
    let settled: RelativePath | null;
    try {
      settled = this.looks.advance();
    } finally {
      this.current = 'walk';
    }
    if (settled !== null) this.scan?.waitingFor?.delete(settled);
  }

  /** Begins a full scan where one is wanted; false when there is nothing to do. */
  private startScan(): boolean {
    if (!this.wantsScan) return false;
    const baseline = JSON.stringify(this.checkSource());
    this.wantsScan = false;
    const known = this.index.readSource();
    if (known.baseline !== baseline) this.index.writeSource(baseline, known.acceptEmpty);
    // notes of a walk that was given up are not to come between those of this one
    this.commit();
    const scope = JSON.stringify({ ignore: this.folder.ignore, baseline });
    this.index.directories.keepWithin(this.source.keepsTimes ? scope : null);
    this.scan = new FullScan({
      waiters: this.nextWaiters,
      startedAtMs: this.deps.clock.monotonicMs(),
      walk: new TreeWalk(this.sink, this.folder.root, this.source.realRoot).run(),
      recentMax: this.options.hotDirectoriesMax,
      entriesPerSecond: this.options.scanEntriesPerSecond,
    });
    this.nextWaiters = [];
    this.deps.logger.debug({ folder: this.folder.id }, 'full scan begins');
    return true;
  }

  /** Goes on with the full scan; false when it waits for files to settle, or goes no faster. */
  private advanceScan(scan: FullScan): boolean {
    const now = this.deps.clock.monotonicMs();
    if (scan.waitingFor === null) {
      if (scan.rests(now)) return false;
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
    this.deps.beforeComplete();
    this.hasEnded = true;
    const unnamed = [...unsettled].some((path) => this.index.get(path) === null);
    this.index.finishScan(this.deps.clock.wallMs(), !scan.incomplete && !unnamed);
    this.index.pruneCheckpoints();
    this.scan = null;
    const now = this.deps.clock.monotonicMs();
    const fresh = this.lastScan.replace(scan);
    if (fresh !== null) this.deps.logger.warn({ folder: this.folder.id, ...fresh }, 'paths cannot be read');
    this.watch.madeGood();
    if (!this.seeded) this.watch.touched(scan.recentDirectories());
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
    this.deps.onScanned();
    for (const waiter of scan.waiters) waiter.resolve(report);
  }

  /** Commits what was found. @throws CodedError SOURCE_STOPPED, and nothing is recorded, when the source has vanished meanwhile */
  commit(): void {
    if (this.batch.size === 0 && this.batch.noted === 0) return;
    this.checkSource();
    this.urgent = false;
    const { changes, notes } = this.batch.take();
    const { records } = this.index.commit(changes, notes);
    const touched = [...this.touched];
    this.touched.clear();
    if (records === 0) return;
    if (this.scan !== null) this.scan.changed += records;
    if (this.seeded) this.watch.touched(touched);
    this.deps.onChange();
  }

  private checkSource(): IntactSource['current'] {
    const source = this.deps.requireSource();
    if (source.realRoot !== this.source.realRoot) this.quiet.clear();
    this.source = source;
    this.watch.setRoot(source.realRoot);
    return source.current;
  }

  /** Drops work and uncommitted findings; the index and the tree still differ there, so a later scan finds them. */
  abandon(error: CodedError): void {
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

  /** The scan under way begins again. */
  restartScan(): void {
    this.scan?.walk.return();
    this.nextWaiters = [...(this.scan?.waiters ?? []), ...this.nextWaiters];
    this.scan = null;
    this.wantsScan = true;
  }

  /** Lets go of everything hot; the next full scan chooses anew. */
  forgetHotDirectories(): void {
    this.watch.release();
    this.quiet.clear();
    this.seeded = false;
  }

  /** The look every minute, which finds what the watcher missed. */
  lookAtHotDirectories(): void {
    const directories = this.watch.hotDirectories.length;
    this.deps.logger.debug({ folder: this.folder.id, directories }, 'looking at the hot directories');
    if (this.watch.hasEnded) {
      this.forgetHotDirectories();
      this.wantsScan = true;
    }
    if (this.deps.takesLooks()) this.looks.glance(this.watch.hotDirectories);
    this.deps.wake();
    for (const path of this.index.dirtyPaths(this.options.settlingMax))
      this.looks.settle(path, '', 0, Number.POSITIVE_INFINITY);
  }

  private requestLook(request: LookRequest): void {
    if (!this.deps.takesLooks()) return;
    this.looks.request(request);
    this.deps.wake();
  }

  async close(): Promise<void> {
    await this.watch.close();
  }

  private addChange(change: PathChange): void {
    if (this.batch.has(change.path) || this.batch.size >= checkpointRecordsMax) this.commit();
    if (this.current === 'look') {
      this.urgent = true;
      this.foundByLooks += 1;
    }
    if (this.batch.size === 0) this.oldestChangeMs = this.deps.clock.monotonicMs();
    this.batch.add(change);
    if (change.state.kind === 'deleted') return;
    const directory = parentPath(change.path) ?? rootPath;
    // The last one counts as the most recent.
    this.touched.delete(directory);
    this.touched.add(directory);
    if (change.state.kind === 'directory') this.touched.add(change.path);
  }

  /** Not by a look, which does not come to all that are below. */
  private addNote(note: DirectoryNote): void {
    if (this.current === 'look' || !this.source.keepsTimes) return;
    this.batch.note(note);
    if (this.batch.noted >= notesMax) this.commit();
  }

  private queue(path: RelativePath, signature: string, delayMs: number): void {
    this.doubts[this.current] += 1;
    if (this.looks.settle(path, signature, delayMs, this.options.settlingMax)) return;
    this.wantsScan = true;
    if (this.scan !== null) this.scan.incomplete = true;
  }

  private walkRests(): boolean {
    return this.scan?.rests(this.deps.clock.monotonicMs()) === true;
  }

  private createSink(): ScanSink {
    return {
      index: this.index,
      rules: this.deps.rules,
      reader: this.deps.reader,
      isNetwork: () => this.source.network,
      nowMs: () => this.deps.clock.wallMs(),
      sliceIsOver: () => this.deps.sliceIsOver() || (this.current === 'walk' && this.walkRests()),
      beforeDirectory: (directory) => {
        if (this.batch.concerns(directory)) this.commit();
      },
      change: (change) => this.addChange(change),
      doubts: () => this.doubts[this.current],
      foundByLooks: () => this.foundByLooks,
      note: (note) => this.addNote(note),
      unsettled: (path, stat, lookAgainInMs) =>
        this.queue(path, signatureOf(stat, this.source.network), lookAgainInMs),
      lookAgain: (directory) => this.queue(directory, '', lookAgainMs),
      unreadable: (path, _error, named) => {
        this.doubts[this.current] += 1;
        this.quiet.disturb(path);
        if (this.scan === null) return;
        if (!named) this.scan.incomplete = true;
        if (this.scan.unreadable.size < pathsKeptMax) this.scan.unreadable.add(path);
      },
      special: () => {
        this.doubts[this.current] += 1;
        if (this.scan !== null && this.current === 'walk') this.scan.specials += 1;
      },
      listed: (directory, newestNs, entries) => {
        if (this.current === 'walk') this.scan?.countEntries(entries + 1);
        if (!this.seeded) this.scan?.noteDirectory(directory, newestNs);
      },
    };
  }
}
