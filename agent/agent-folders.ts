import type { CodedError } from '../shared/errors/coded-error.ts';
import type { Home } from '../shared/io/home.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { ScanSummary } from './agent-commands.ts';
import type { AgentConfig, MirrorFolderConfig } from './config.ts';
import type { Positions } from './points/point-round.ts';
import type { ServedFeed, ServedFolders } from './serve/served-feed.ts';
import { Indexer, indexerDefaults, type FolderStatus } from './watch/indexer.ts';
import path from 'node:path';

type Deps = { home: Home; config: AgentConfig; logger: Logger; onFailure: (error: CodedError) => void };

/** The folders of a running agent: configured, indexed and served. */
export class AgentFolders implements ServedFolders {
  readonly indexer: Indexer;
  readonly #folders: MirrorFolderConfig[] = [];
  readonly #listeners = new Set<() => void>();
  /** When records were last committed, ms, by folder. */
  readonly #changedAt = new Map<string, { sequence: number; at: number | null }>();

  constructor(deps: Deps) {
    const { scan, watch } = deps.config;
    this.indexer = new Indexer(
      { logger: deps.logger, onFailure: deps.onFailure },
      {
        ...indexerDefaults,
        databaseFile: path.join(deps.home.directory, 'index.db'),
        fullScanIntervalMs: scan.fullEveryMs,
        hotScanIntervalMs: scan.recentEveryMs,
        scanEntriesPerSecond: scan.entriesPerSecond,
        // Where watching is off, every look costs, as it does over a network: then nothing but the root is looked at in between.
        hotDirectoriesMax:
          watch.directoriesMax === 0 ? 1 : Math.max(indexerDefaults.hotDirectoriesMax, watch.directoriesMax),
        watchLimit: watch.directoriesMax,
      },
    );
  }

  /** Begins to index the folder and offers it. */
  async add(folder: MirrorFolderConfig): Promise<void> {
    await this.indexer.addFolder({ id: folder.id, root: folder.path, ignore: folder.ignore });
    this.#folders.push(folder);
    const feed = this.indexer.feed(folder.id);
    this.#changedAt.set(folder.id, { sequence: this.status(folder.id).sequence, at: null });
    feed.onChange(() => this.#noteChange(folder.id));
    for (const listener of this.#listeners) listener();
  }

  list(): readonly ServedFeed[] {
    return this.#folders.map(({ id }) => this.indexer.feed(id));
  }

  onChange(listener: () => void): () => void {
    const entry = (): void => listener();
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  configured(): readonly MirrorFolderConfig[] {
    return this.#folders;
  }

  /** @throws CodedError FOLDER_UNKNOWN */
  status(folderId: string): FolderStatus {
    return this.indexer.status(folderId);
  }

  /** When something was last announced since the start, ms; null when nothing was. */
  changedAt(folderId: string): number | null {
    return this.#changedAt.get(folderId)?.at ?? null;
  }

  /** @throws CodedError FOLDER_UNKNOWN, SOURCE_STOPPED, FOLDER_PAUSED, DISK_FAILED */
  async scan(folderId: string | null): Promise<ScanSummary[]> {
    const reports = await this.indexer.scan(folderId ?? undefined);
    return reports.map(({ folderId: id, files, bytes, changed, unreadable, unsettled }) => ({
      id,
      files,
      bytes,
      sequence: this.status(id).sequence,
      changed,
      unreadable,
      unsettled,
    }));
  }

  /** What is committed of every folder. */
  positions(): Positions {
    return new Map(
      this.list().map((feed) => {
        const { sequence } = this.status(feed.folderId);
        return [feed.folderId, { index: feed.indexId().toString('hex'), sequence }];
      }),
    );
  }

  /** A full scan of every folder that can be scanned now. Never rejects: what keeps one from it shows in its status. */
  async scanAll(): Promise<void> {
    await Promise.allSettled(this.#folders.map(async ({ id }) => this.indexer.scan(id)));
  }

  #noteChange(folderId: string): void {
    const { sequence } = this.status(folderId);
    const known = this.#changedAt.get(folderId);
    if (known?.sequence !== sequence) this.#changedAt.set(folderId, { sequence, at: Date.now() });
  }
}
