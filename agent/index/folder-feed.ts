import type { ChunkList } from '../../shared/chunking/chunk-list.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { SourceFile } from './source-file.ts';

/** Records in the order of their sequences, ending at a checkpoint: `through` and its token are the receiver's next position. `isHead`: nothing is later. */
export type RecordBatch = { records: FileRecord[]; through: number; token: Buffer; isHead: boolean };

/**
 * A mirror folder's index as serving sees it. Reads are short transactions on a read-only connection and see only what
 * is durable; what has to be written goes to the indexer's thread.
 */
export type FolderFeed = {
  readonly folderId: string;
  readonly kind: 'mirror';
  /** 8 random bytes; new after the database was lost or rolled back. */
  indexId(): Buffer;
  /** Called after records were committed, `completeThrough` moved or the indexId changed. Gives the function that stops it. */
  onChange(listener: () => void): () => void;
  /**
   * Later records (deletions too), ending at a checkpoint; null when nothing is later. `limit` (default 1024) is a hint:
   * one checkpoint is given whole, and none holds more than 1024 records.
   */
  batchAfter(sequence: number, limit?: number): RecordBatch | null;
  /** The record that is announced for the path now; null when nothing lives there. */
  recordAt(path: RelativePath): FileRecord | null;
  /** Live regular files (and their bytes) whose records are later. */
  pendingAfter(sequence: number): { files: number; bytes: number };
  /** The sequence at which a full scan of this index had named every live path; null before. */
  completeThrough(): number | null;
  /** True when this position was given out in this index and is still known; sequence 0 of the current index always is. */
  matches(position: FeedPosition): boolean;
  /**
   * Asks for a new indexId. Durable when it resolves, and the full scan that completes it is then under way; but where no full
   * scan has ended since the start, it comes with the end of the first one. Listeners are told.
   */
  renewIndex(reason: string): Promise<void>;
  /**
   * Opens a regular file without following any link below the root; null when it is not there as a regular file any
   * more. The caller closes it.
   * @throws CodedError SOURCE_UNREADABLE
   */
  openSource(path: RelativePath): SourceFile | null;
  /** The chunk list of a file above 1 MiB; null when no live file has this content. */
  chunkList(hash: Buffer): Promise<ChunkList | null>;
  /** Durable when it resolves: the next scan reads the path again and announces it with a new sequence whatever it finds. */
  markDirty(path: RelativePath): Promise<void>;
  /** The receiver holds everything up to there; kept for pruning and status, and may be lost in a crash. */
  acknowledged(receiverId: DeviceId, position: FeedPosition): void;
  /** The last acknowledged sequence in this index; 0 when there is none. */
  acknowledgedBy(receiverId: DeviceId): number;
};
