import type { RelativePath } from '../../shared/records/relative-path.ts';

/** What a full scan found. `files` and `bytes`: all live regular files afterwards; `changed`: records it announced. */
export type ScanReport = {
  folderId: string;
  files: number;
  bytes: number;
  changed: number;
  /** Files and directories that could not be read; what the index knows of them stays. */
  unreadable: number;
  /** Files that did not come to rest in time; they are read when they do. */
  unsettled: number;
  /** Sockets, FIFOs and devices. */
  skippedSpecial: number;
  durationMs: number;
};

export type ScanWaiter = { resolve: (report: ScanReport) => void; reject: (error: Error) => void };

/** A full scan under way: it walks, then waits for the files that it met before they were still. */
export class FullScan {
  readonly waiters: ScanWaiter[];
  readonly startedAtMs: number;
  readonly walk: Generator<undefined, void>;
  readonly unreadable = new Set<RelativePath>();
  specials = 0;
  changed = 0;
  /** True when something is there that the index cannot name, so that its end does not mean "everything". */
  incomplete = false;
  /** Null while walking. */
  waitingFor: Set<RelativePath> | null = null;
  deadlineMs = Number.POSITIVE_INFINITY;
  /** Directories with their latest change, for the hot set. */
  private recent: { directory: RelativePath; newestNs: bigint }[] = [];
  private readonly recentMax: number;
  private readonly entriesPerSecond: number | null;
  private entries = 0;

  constructor(options: {
    waiters: ScanWaiter[];
    startedAtMs: number;
    walk: Generator<undefined, void>;
    recentMax: number;
    entriesPerSecond: number | null;
  }) {
    this.waiters = options.waiters;
    this.startedAtMs = options.startedAtMs;
    this.walk = options.walk;
    this.recentMax = options.recentMax;
    this.entriesPerSecond = options.entriesPerSecond;
  }

  /** The walk has looked at so many files and directories more. */
  countEntries(entries: number): void {
    this.entries += entries;
  }

  /** Whether the walk is ahead of the entries a second that it is to look at. */
  rests(nowMs: number): boolean {
    return this.entriesPerSecond !== null && this.waitingFor === null && nowMs < this.walksAtMs;
  }

  /** When it goes on (monotonic ms); a walk that rests also for the commit of what it found. */
  dueMs(commitAtMs: number): number {
    return this.waitingFor === null ? Math.min(this.walksAtMs, commitAtMs) : this.deadlineMs;
  }

  private get walksAtMs(): number {
    if (this.entriesPerSecond === null) return this.startedAtMs;
    return this.startedAtMs + (this.entries / this.entriesPerSecond) * 1000;
  }

  noteDirectory(directory: RelativePath, newestNs: bigint): void {
    this.recent.push({ directory, newestNs });
    if (this.recent.length >= 2 * this.recentMax) this.recent = this.newest();
  }

  /** The most recently changed directories, oldest first. */
  recentDirectories(): RelativePath[] {
    return this.newest()
      .map((entry) => entry.directory)
      .toReversed();
  }

  private newest(): { directory: RelativePath; newestNs: bigint }[] {
    return this.recent
      .sort((a, b) => (a.newestNs < b.newestNs ? 1 : a.newestNs > b.newestNs ? -1 : 0))
      .slice(0, this.recentMax);
  }
}
