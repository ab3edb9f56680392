import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';

/** Records up to a checkpoint, to be made durable as one. `missing`: announced too, but gone when they were asked for. `isHead`: the agent
 * had nothing later then. */
export type PullBatch = {
  indexId: Buffer;
  records: FileRecord[];
  missing: FileRecord[];
  through: number;
  token: Buffer;
  isHead: boolean;
};

/** A large content that is put together; what was written survives restarts until `discard`. */
export type PullPartial = {
  readonly size: number;
  read(offset: number, length: number): Uint8Array;
  write(offset: number, bytes: Uint8Array): void;
  /** Verifies the whole and stages it. @throws CodedError CONTENT_MISMATCH: it was discarded. */
  finish(): Promise<void>;
  close(): void;
  discard(): void;
};

/** The store of one folder of one agent as far as pulling uses it (implemented by MirrorStore and SealedStore). */
export type PullStore = {
  /** A batch failed half-way, and the store refuses everything until it was opened again. */
  readonly mustReopen: boolean;
  /** The last durable checkpoint; null asks for everything. */
  position(): FeedPosition | null;
  /** Whether so much content more may arrive. @throws CodedError STORE_FULL, QUOTA_REACHED */
  assertRoom(bytes: number): void;
  /** 'held': the content is on this receiver, of this agent; 'nothing': what is stored has it at that path already. */
  need(record: FileRecord): 'nothing' | 'held' | 'fetch';
  /** False: it is not held after all, or damaged. @throws CodedError STORE_FULL, QUOTA_REACHED, DISK_FAILED */
  stageHeld(hash: Buffer, size: number): Promise<boolean>;
  /** Verifies the bytes, and keeps nothing of wrong ones. @throws CodedError CONTENT_MISMATCH, STORE_FULL, QUOTA_REACHED, DISK_FAILED */
  stage(hash: Buffer, bytes: Uint8Array): void;
  openPartial(hash: Buffer, size: number): PullPartial;
  openCurrent(
    path: RelativePath,
  ): { readonly size: number; read(offset: number, length: number): Uint8Array; close(): void } | null;
  /** Durable when it resolves; when it rejects, nothing has changed or the store has failed. @throws CodedError STORE_FULL, QUOTA_REACHED, DISK_FAILED */
  commit(batch: PullBatch): Promise<void>;
  /** Of a sealed folder: packs (hashes) that were announced or that held versions need, and that are not there. */
  missingPacks?(): Buffer[];
  /** Paths that this index did not name are deletions; a sealed folder ignores it. Durable when it resolves. */
  completeIndex(position: FeedPosition): Promise<unknown>;
};
