import type Database from 'better-sqlite3';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { Clock } from './clock.ts';
import { ContentReader } from './content-reader.ts';
import type { CreateDirectoryWatcher } from './directory-watcher.ts';
import { FolderIndexer } from './folder-indexer.ts';
import type { IndexerAnswer, IndexerCommand } from './indexer-message.ts';
import type { FolderCondition, IndexedFolder, IndexerOptions } from './indexer-options.ts';

export type IndexerCoreDeps = {
  /** The writing connection; the core uses it alone and does not close it. */
  database: Database.Database;
  clock: Clock;
  logger: Logger;
  createWatcher: CreateDirectoryWatcher;
  onChange(folderId: string): void;
  onCondition(folderId: string, condition: FolderCondition): void;
  /** A defect or a damaged database: nothing works from here on. */
  onDefect(error: unknown): void;
};

const sliceMs = 15;

/**
 * All folders of an agent on one thread: gives each its slices, keeps the timers, and carries out commands between
 * slices, so that none waits for more than a slice of each folder.
 */
export class IndexerCore {
  private readonly deps: IndexerCoreDeps;
  private readonly options: IndexerOptions;
  private readonly folders = new Map<string, FolderIndexer>();
  private readonly reader = new ContentReader();
  private sliceEndsMs = 0;
  private paused = false;
  private stopped = false;
  private cancelTimer: (() => void) | null = null;
  private turn: NodeJS.Immediate | null = null;

  constructor(deps: IndexerCoreDeps, options: IndexerOptions) {
    this.deps = deps;
    this.options = options;
  }

  /** Resolves when it is done and durable; a scan with its report. @throws CodedError */
  async execute(command: IndexerCommand): Promise<IndexerAnswer> {
    try {
      const result = this.dispatch(command);
      // A scan resolves only when the folders have worked.
      this.wake();
      return await result;
    } finally {
      this.wake();
    }
  }

  private dispatch(command: IndexerCommand): Promise<IndexerAnswer> | IndexerAnswer {
    switch (command.type) {
      case 'addFolder':
        this.addFolder(command.folder);
        return null;
      case 'removeFolder':
        return this.removeFolder(command.folderId, command.forget);
      case 'scan':
        return new Promise((resolve, reject) => {
          this.folder(command.folderId).requestScan({ resolve, reject });
        });
      case 'accept':
        return { accepted: this.folder(command.folderId).accept() };
      case 'pause':
        this.paused = true;
        for (const folder of this.folders.values()) folder.pause();
        return null;
      case 'resume':
        this.paused = false;
        for (const folder of this.folders.values()) folder.resume();
        return null;
      case 'markDirty':
        this.folder(command.folderId).markDirty(command.path as RelativePath);
        return null;
      case 'renewIndex':
        this.folder(command.folderId).renew(command.reason);
        return null;
      case 'acknowledge':
        this.folders.get(command.folderId)?.acknowledge(command.receiverId, command);
        return null;
      case 'forgetReceiver':
        for (const folder of this.folders.values()) folder.index.forgetReceiver(command.receiverId);
        return null;
      case 'stop':
        return this.stop();
    }
  }

  private addFolder(folder: IndexedFolder): void {
    if (this.folders.has(folder.id)) return;
    const indexer = new FolderIndexer(
      {
        database: this.deps.database,
        clock: this.deps.clock,
        logger: this.deps.logger,
        reader: this.reader,
        createWatcher: this.deps.createWatcher,
        sliceIsOver: () => performance.now() >= this.sliceEndsMs,
        wake: () => this.wake(),
        onChange: () => this.deps.onChange(folder.id),
        onCondition: (condition) => this.deps.onCondition(folder.id, condition),
      },
      folder,
      this.options,
    );
    this.folders.set(folder.id, indexer);
    if (this.paused) indexer.pause();
    this.deps.onCondition(folder.id, indexer.condition);
  }

  private async removeFolder(folderId: string, forget: boolean): Promise<null> {
    const folder = this.folder(folderId);
    this.folders.delete(folderId);
    await folder.stop();
    if (forget) folder.index.remove();
    return null;
  }

  private async stop(): Promise<null> {
    this.stopped = true;
    this.cancelTimer?.();
    if (this.turn !== null) clearImmediate(this.turn);
    await Promise.all([...this.folders.values()].map((folder) => folder.stop()));
    this.folders.clear();
    return null;
  }

  private folder(folderId: string): FolderIndexer {
    const folder = this.folders.get(folderId);
    if (folder === undefined)
      throw new CodedError('FOLDER_UNKNOWN', `no folder "${folderId}" is indexed here`);
    return folder;
  }

  /** Lets the folders work in the next turn of the loop, after the messages that wait. */
  wake(): void {
    if (!this.stopped) this.turn ??= setImmediate(() => this.run());
  }

  private run(): void {
    this.turn = null;
    this.cancelTimer?.();
    this.cancelTimer = null;
    let busy = false;
    let next = Number.POSITIVE_INFINITY;
    try {
      for (const folder of this.folders.values()) {
        next = Math.min(next, folder.tick());
        this.sliceEndsMs = performance.now() + sliceMs;
        busy = folder.step() || busy;
        next = Math.min(next, folder.tick());
      }
    } catch (error) {
      this.stopped = true;
      this.deps.onDefect(error);
      return;
    }
    if (busy) {
      this.wake();
    } else if (next < Number.POSITIVE_INFINITY) {
      const delayMs = Math.max(0, next - this.deps.clock.monotonicMs());
      this.cancelTimer = this.deps.clock.setTimer(delayMs, () => this.wake());
    }
  }
}
