import type { WatchStatus } from './folder-watch.ts';

/** A mirror folder as configured; `root` is absolute and may be a symbolic link. */
export type IndexedFolder = { id: string; root: string; ignore: readonly string[] };

export type IndexerOptions = {
  fullScanIntervalMs: number;
  hotScanIntervalMs: number;
  /** How often a stopped source is looked at. */
  sourceCheckIntervalMs: number;
  /** A scan waits so long for files that do not come to rest. */
  settleWaitMsMax: number;
  /** Paths that wait for stillness; beyond it another full scan finds the rest. */
  settlingMax: number;
  hotDirectoriesMax: number;
  /** Files and directories that a full scan looks at; null for as many as it can. */
  scanEntriesPerSecond: number | null;
  /** Watches at most; 0 switches watching off. */
  watchLimit: number;
};

export type FolderState = 'scanning' | 'idle' | 'stopped' | 'paused';

/** What the thread tells of a folder; totals are read from the database. */
export type FolderCondition = WatchStatus & {
  state: FolderState;
  /** Why it stopped or what failed last; null when all is well. */
  stateReason: string | null;
  unreadable: number;
  unreadablePaths: string[];
  skippedSpecial: number;
};
