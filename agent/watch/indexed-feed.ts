import type Database from 'better-sqlite3';
import type { ChunkList } from '../../shared/chunking/chunk-list.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import { FeedReader } from '../index/feed-reader.ts';
import type { FolderFeed, RecordBatch } from '../index/folder-feed.ts';
import type { SourceFile } from '../index/source-file.ts';
import { SourceOpener } from '../index/source-opener.ts';
import type { IndexerCommand } from './indexer-message.ts';

export type IndexedFeedDeps = {
  /** A read-only connection. */
  database: Database.Database;
  root: string;
  /** Resolves when the indexing thread has done it. */
  request(command: IndexerCommand): Promise<unknown>;
  /** Sends without waiting. */
  send(command: IndexerCommand): void;
};

/** The feed of a folder that is indexed in the thread. */
export class IndexedFeed implements FolderFeed {
  readonly kind = 'mirror';
  readonly folderId: string;
  readonly reader: FeedReader;
  private readonly deps: IndexedFeedDeps;
  private readonly opener: SourceOpener;
  private readonly listeners = new Set<() => void>();
  /** Acknowledgements on their way to the database. */
  private readonly fresh = new Map<DeviceId, FeedPosition>();

  constructor(deps: IndexedFeedDeps, folderId: string) {
    this.deps = deps;
    this.folderId = folderId;
    this.opener = new SourceOpener(deps.root);
    this.reader = new FeedReader(deps.database, folderId);
  }

  indexId(): Buffer {
    return this.reader.folder().index_id;
  }

  onChange(listener: () => void): () => void {
    // Each call counts by itself, even with the same function.
    const entry = () => listener();
    this.listeners.add(entry);
    return () => this.listeners.delete(entry);
  }

  notify(): void {
    for (const listener of this.listeners) listener();
  }

  batchAfter(sequence: number, limit?: number): RecordBatch | null {
    return this.reader.batchAfter(sequence, limit);
  }

  recordAt(path: RelativePath): FileRecord | null {
    return this.reader.recordAt(path);
  }

  pendingAfter(sequence: number): { files: number; bytes: number } {
    return this.reader.pendingAfter(sequence);
  }

  completeThrough(): number | null {
    return this.reader.folder().complete_through;
  }

  matches(position: FeedPosition): boolean {
    return this.reader.matches(position);
  }

  async renewIndex(reason: string): Promise<void> {
    await this.deps.request({ type: 'renewIndex', folderId: this.folderId, reason });
  }

  openSource(path: RelativePath): SourceFile | null {
    return this.opener.open(path);
  }

  chunkList(hash: Buffer): Promise<ChunkList | null> {
    return Promise.resolve(this.reader.chunkList(hash));
  }

  async markDirty(path: RelativePath): Promise<void> {
    await this.deps.request({ type: 'markDirty', folderId: this.folderId, path });
  }

  acknowledged(receiverId: DeviceId, position: FeedPosition): void {
    this.fresh.set(receiverId, position);
    const { sequence, indexId } = position;
    this.deps.send({ type: 'acknowledge', folderId: this.folderId, receiverId, sequence, indexId });
  }

  acknowledgedBy(receiverId: DeviceId): number {
    const fresh = this.fresh.get(receiverId);
    if (fresh !== undefined && fresh.indexId.equals(this.indexId())) return fresh.sequence;
    return this.reader.acknowledgedBy(receiverId);
  }

  /** Nothing is known of that receiver any more. */
  forget(receiverId: DeviceId): void {
    this.fresh.delete(receiverId);
  }
}
