import type { ChunkList } from '../../shared/chunking/chunk-list.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';

/** A folder as far as serving uses it: a mirror's index (the indexer's FolderFeed), or what a sealed folder has in its spool. */
export type ServedFeed = {
  readonly folderId: string;
  readonly kind: 'mirror' | 'sealed';
  indexId(): Buffer;
  /** Called after records were committed, `completeThrough` moved or the indexId changed. Gives the function that stops it. */
  onChange(listener: () => void): () => void;
  /** Later records up to a checkpoint, at most 1024; null when nothing is later. `limit` is a hint. */
  batchAfter(
    sequence: number,
    limit?: number,
  ): { records: FileRecord[]; through: number; token: Buffer; isHead: boolean } | null;
  completeThrough(): number | null;
  matches(position: FeedPosition): boolean;
  renewIndex(reason: string): Promise<void>;
  /** The record that is announced for the path now, whatever its state; null when there is none. */
  recordAt(path: RelativePath): FileRecord | null;
  /** Regular files (and their bytes) whose records are later. */
  pendingAfter(sequence: number): { files: number; bytes: number };
  openSource(path: RelativePath): { readonly fd: number; readonly size: number; close(): void } | null;
  chunkList(hash: Buffer): Promise<ChunkList | null>;
  markDirty(path: RelativePath): Promise<void>;
  acknowledged(receiverId: string, position: FeedPosition): void;
  acknowledgedBy(receiverId: string): number;
  /** Sealed folders only: the receiver does not hold these packs (hashes), whatever it acknowledged. */
  reportMissing?(receiverId: string, packs: readonly Buffer[]): void;
};

/** The folders that may be pulled now. */
export type ServedFolders = {
  list(): readonly ServedFeed[];
  /** Called when folders came or went. Gives the function that stops it. */
  onChange(listener: () => void): () => void;
};
