import type { ChunkList } from '../../shared/chunking/chunk-list.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { decodeChunkList } from '../index/chunk-list-blob.ts';
import { openSourceFile } from '../index/source-opener.ts';
import type { ServedFeed } from '../serve/served-feed.ts';
import { recordOf } from './sealed-object.ts';
import type { SealIndex } from './seal-index.ts';
import type { SpoolKeeper } from './spool-keeper.ts';

type Deps = { index: SealIndex; keeper: SpoolKeeper; spoolDirectory: string; onRenewed(): void };

const batchRecordsMax = 1024;

/**
 * What a sealed folder gives out: every object in its spool is a file that never changes. What left the spool is not
 * announced any more, and never announced as deleted: a server cannot take back what receivers hold.
 */
export class SealedFeed implements ServedFeed {
  readonly kind = 'sealed';
  readonly folderId: string;
  readonly #deps: Deps;
  readonly #listeners = new Set<() => void>();

  constructor(deps: Deps, folderId: string) {
    this.#deps = deps;
    this.folderId = folderId;
  }

  indexId(): Buffer {
    return this.#deps.index.announcements.position().indexId;
  }

  onChange(listener: () => void): () => void {
    const entry = (): void => listener();
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  notify(): void {
    for (const listener of this.#listeners) listener();
  }

  batchAfter(
    sequence: number,
    limit: number = batchRecordsMax,
  ): { records: FileRecord[]; through: number; token: Buffer; isHead: boolean } | null {
    const { index } = this.#deps;
    const position = index.announcements.position();
    if (position.sequence <= sequence) return null;
    const wanted = Math.max(2, Math.min(limit, batchRecordsMax));
    const ahead = index.objects.spooledAfter(sequence, wanted + 1);
    if (ahead.length <= wanted) {
      const { sequence: through, token } = position;
      return { records: ahead.map(recordOf), through, token, isHead: true };
    }
    ahead.pop();
    // a signature and its record share a checkpoint
    if (ahead.at(-1)?.kind === 'signature') ahead.pop();
    const through = ahead.at(-1)?.sequence ?? position.sequence;
    return {
      records: ahead.map(recordOf),
      through,
      token: index.announcements.token(through) ?? position.token,
      isHead: false,
    };
  }

  completeThrough(): number {
    return this.#deps.index.announcements.position().sequence;
  }

  matches(position: FeedPosition): boolean {
    const { index } = this.#deps;
    if (!this.indexId().equals(position.indexId)) return false;
    return (
      position.sequence === 0 || index.announcements.token(position.sequence)?.equals(position.token) === true
    );
  }

  renewIndex(): Promise<void> {
    this.#deps.onRenewed();
    this.notify();
    return Promise.resolve();
  }

  recordAt(path: RelativePath): FileRecord | null {
    const object = this.#deps.index.objects.spooledNamed(path);
    return object === null ? null : recordOf(object);
  }

  pendingAfter(sequence: number): { files: number; bytes: number } {
    return this.#deps.index.objects.pendingAfter(sequence);
  }

  /** @throws CodedError SOURCE_UNREADABLE */
  openSource(path: RelativePath): { readonly fd: number; readonly size: number; close(): void } | null {
    return openSourceFile(this.#deps.spoolDirectory, path);
  }

  chunkList(hash: Buffer): Promise<ChunkList | null> {
    const blob = this.#deps.index.objects.chunkList(hash);
    return Promise.resolve(blob === null ? null : decodeChunkList(blob));
  }

  /** The file in the spool is damaged or gone: what is in it counts as unknown, so that a later dump seals it again. */
  markDirty(path: RelativePath): Promise<void> {
    const object = this.#deps.index.objects.spooledNamed(path);
    if (object !== null) this.#deps.keeper.lose(object.id);
    return Promise.resolve();
  }

  acknowledged(receiverId: string, position: FeedPosition): void {
    if (position.indexId.equals(this.indexId()))
      this.#deps.keeper.acknowledged(receiverId, position.sequence);
  }

  acknowledgedBy(receiverId: string): number {
    return this.#deps.keeper.durableSequence(receiverId);
  }

  reportMissing(receiverId: string, packs: readonly Buffer[]): void {
    const { index, keeper } = this.#deps;
    if (index.confirmations.noteMissing(receiverId, keeper.durableSequence(receiverId), packs)) this.notify();
  }
}
