import fs from 'node:fs';
import path from 'node:path';
import { watch, type FSWatcher } from 'chokidar';
import { systemErrorCode } from '../../shared/errors/coded-error.ts';
import type { DirectoryWatcher, WatchEvent } from './directory-watcher.ts';

type Batch = {
  watcher: FSWatcher;
  directories: Set<string>;
  refused: Map<string, string>;
  /** Until its watches stand; the timer is for the case that chokidar never says so. */
  opening: NodeJS.Timeout | null;
};

/** Directories that come together share a chokidar instance, because only an instance says when its watches stand. */
const batchDirectoriesMax = 32;
/** chokidar lists what it begins to watch; few directories at a time keep memory low. */
const openingMax = 1;
const openingMsMax = 10_000;
const gatherMs = 5;
const namesMax = 64;

/**
 * chokidar on single directories: its per-directory backend with depth 0, links not followed, nothing merged. Raw
 * events are the hints, so that names which are not UTF-8 count too.
 */
export class ChokidarWatcher implements DirectoryWatcher {
  private readonly listener: (event: WatchEvent) => void;
  private readonly burstEvents: number;
  private readonly batches = new Map<string, Batch>();
  private readonly joining = new Set<string>();
  private readonly changed = new Map<string, Set<string>>();
  private readonly ended = new Set<string>();
  private readonly refusing = new Set<Batch>();
  private opening = 0;
  private events = 0;
  private joinTimer: NodeJS.Timeout | null = null;
  private tellTimer: NodeJS.Timeout | null = null;

  /** `burstEvents`: so many events in one turn of the loop count as a possible overflow of the kernel's queue. */
  constructor(listener: (event: WatchEvent) => void, burstEvents = readQueueLength() / 2) {
    this.listener = listener;
    this.burstEvents = burstEvents;
  }

  update(unwatch: readonly string[], join: readonly string[]): void {
    for (const directory of unwatch) this.leave(directory);
    for (const directory of join) this.joining.add(directory);
    if (this.joining.size > 0) this.joinTimer ??= setTimeout(() => this.join(), gatherMs);
  }

  async close(): Promise<void> {
    if (this.joinTimer !== null) clearTimeout(this.joinTimer);
    if (this.tellTimer !== null) clearTimeout(this.tellTimer);
    this.joining.clear();
    const open = new Set(this.batches.values());
    this.batches.clear();
    this.opening = openingMax;
    for (const batch of open) if (batch.opening !== null) clearTimeout(batch.opening);
    await Promise.all([...open].map((batch) => batch.watcher.close()));
  }

  private leave(directory: string): void {
    this.joining.delete(directory);
    const batch = this.batches.get(directory);
    if (batch === undefined) return;
    this.batches.delete(directory);
    batch.directories.delete(directory);
    if (batch.directories.size === 0) {
      void batch.watcher.close();
      this.opened(batch);
    } else batch.watcher.unwatch(directory);
  }

  private join(): void {
    this.joinTimer = null;
    while (this.joining.size > 0 && this.opening < openingMax) {
      // The last ones are the most likely to change.
      const directories = [...this.joining].slice(-batchDirectoriesMax);
      for (const directory of directories) this.joining.delete(directory);
      this.openBatch(directories);
    }
  }

  private opened(batch: Batch): void {
    if (batch.opening === null) return;
    clearTimeout(batch.opening);
    batch.opening = null;
    this.opening -= 1;
    if (this.joining.size > 0) this.joinTimer ??= setTimeout(() => this.join(), 0);
  }

  private openBatch(directories: readonly string[]): void {
    const asked = new Set(directories);
    const watcher = watch([...directories], {
      depth: 0,
      followSymlinks: false,
      ignoreInitial: true,
      atomic: false,
      // What is in the directories costs no memory then; raw events come all the same.
      ignored: (name) => !asked.has(name),
    });
    const batch: Batch = {
      watcher,
      directories: new Set(directories),
      refused: new Map(),
      opening: setTimeout(() => this.opened(batch), openingMsMax),
    };
    this.opening += 1;
    for (const directory of directories) this.batches.set(directory, batch);
    watcher.on('error', (error) => this.noteError(batch, error));
    watcher.on('raw', (event, name, details) => {
      const directory = watchedPath(details);
      if (directory !== null && batch.directories.has(directory))
        this.note(directory, event === 'rename' ? name : null);
    });
    watcher.on('ready', () => {
      this.opened(batch);
      const standing = [...batch.directories].filter((directory) => !batch.refused.has(directory));
      this.tellRefused(batch);
      this.listener({ type: 'watching', directories: standing });
    });
  }

  private noteError(batch: Batch, error: unknown): void {
    const code = systemErrorCode(error) ?? 'UNKNOWN';
    const place =
      error instanceof Error && 'path' in error && typeof error.path === 'string' ? error.path : null;
    if (place !== null && batch.directories.has(place)) {
      batch.refused.set(place, code);
      this.refusing.add(batch);
    } else this.listener({ type: 'refused', directories: [], code });
    // Errors after `ready` are told with the next events.
    this.tellTimer ??= setTimeout(() => this.tell(), gatherMs);
  }

  private tellRefused(batch: Batch): void {
    this.refusing.delete(batch);
    const byCode = Map.groupBy(batch.refused, ([, code]) => code);
    for (const [code, refused] of byCode) {
      const directories = refused.map(([directory]) => directory);
      for (const directory of directories) this.leave(directory);
      this.listener({ type: 'refused', directories, code });
    }
    batch.refused.clear();
  }

  private note(directory: string, name: string | null): void {
    this.events += 1;
    const names = this.changed.get(directory) ?? new Set();
    this.changed.set(directory, names);
    if (name !== null && names.size < namesMax) names.add(name);
    // The end of a watch is told by the directory's own name, as if it were something in it.
    if (name === path.basename(directory)) this.ended.add(directory);
    this.tellTimer ??= setTimeout(() => this.tell(), gatherMs);
  }

  private tell(): void {
    this.tellTimer = null;
    for (const batch of this.refusing) this.tellRefused(batch);
    if (this.events >= this.burstEvents) this.listener({ type: 'overflow' });
    this.events = 0;
    if (this.ended.size > 0) this.listener({ type: 'ended', directories: [...this.ended] });
    this.ended.clear();
    if (this.changed.size === 0) return;
    const directories = new Map([...this.changed].map(([directory, names]) => [directory, [...names]]));
    this.changed.clear();
    this.listener({ type: 'changed', directories });
  }
}

function watchedPath(details: unknown): string | null {
  if (typeof details !== 'object' || details === null || !('watchedPath' in details)) return null;
  return typeof details.watchedPath === 'string' ? details.watchedPath : null;
}

function readQueueLength(): number {
  try {
    return Number(fs.readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8')) || 16_384;
  } catch {
    return 16_384;
  }
}
