/** Directories are absolute paths. Events are hints to look, never facts; any of them may be missing. */
export type WatchEvent =
  /** The watches stand: what changed before now is to be found by a look. */
  | { type: 'watching'; directories: readonly string[] }
  /** Something happened in these directories; with them names that appeared or went. */
  | { type: 'changed'; directories: ReadonlyMap<string, readonly string[]> }
  /** These were deleted, moved or unmounted; what is at their place now may not be watched. */
  | { type: 'ended'; directories: readonly string[] }
  /** No watch for these, by that system error. */
  | { type: 'refused'; directories: readonly string[]; code: string }
  /** So many events at once that the kernel may have dropped some. */
  | { type: 'overflow' }
  /** The watcher itself is gone. */
  | { type: 'failed'; reason: string };

/** Watches single directories, not what is below them. */
export type DirectoryWatcher = {
  /** Removes watches, then adds watches; what comes of it is told by events. */
  update(unwatch: readonly string[], watch: readonly string[]): void;
  close(): Promise<void>;
};

export type CreateDirectoryWatcher = (listener: (event: WatchEvent) => void) => DirectoryWatcher;
