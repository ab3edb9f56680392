import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Message } from '../../shared/protocol/codec.ts';
import type { Durable } from '../../shared/protocol/durable.ts';
import { limits } from '../../shared/protocol/limits.ts';
import { recordsWireBytesMax, recordWireBytesMax, type Records } from '../../shared/protocol/records.ts';
import { emptyToken, type FeedPosition } from '../../shared/records/feed-position.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import type { ServedFeed } from './served-feed.ts';

/** A batch whose files are larger than this together is announced in smaller ones, so that progress becomes durable on the way. */
const batchContentBytes = 256 * 1024 * 1024;

/**
 * What one receiver is told of one folder, from the position that it subscribed with: batches, at most four that are not durable
 * there, and the index end once it holds what the last full scan named. Sends nothing itself.
 */
export class FolderStream {
  readonly indexId: Buffer;
  private readonly feed: ServedFeed;
  private acknowledged: FeedPosition;
  private sentThrough: number;
  private readonly inFlight: (FeedPosition & { bytes: number })[] = [];
  private endSent = false;

  /** `position` must be one of the feed's current index. */
  constructor(feed: ServedFeed, position: FeedPosition) {
    this.feed = feed;
    this.indexId = position.indexId;
    this.acknowledged = position;
    this.sentThrough = position.sequence;
  }

  /** The last checkpoint that the receiver holds. */
  get durablePosition(): FeedPosition {
    return this.acknowledged;
  }

  /** What the records that are not durable there take on the wire at most. */
  get bytesInFlight(): number {
    return this.inFlight.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** True once the feed has another index: this stream says nothing more. */
  isOver(): boolean {
    return !this.feed.indexId().equals(this.indexId);
  }

  /**
   * The messages that come next, or null when there is nothing to say until the feed changes or a batch becomes durable.
   * Without `hasRoom` no batch is among them.
   */
  next(hasRoom: boolean): Message[] | null {
    if (this.isOver()) return null;
    if (hasRoom && this.inFlight.length < limits.checkpointsInFlightMax) {
      const batch = this.nextBatch();
      // the index may have changed between the look-ups, but it never changes back
      if (this.isOver()) return null;
      if (batch !== null) {
        this.sentThrough = batch.through;
        const { through: sequence, token } = batch;
        const bytes = recordsWireBytesMax(batch.records);
        this.inFlight.push({ indexId: this.indexId, sequence, token, bytes });
        return splitBatch(this.feed.folderId, this.indexId, batch);
      }
    }
    const completeThrough = this.endSent ? null : this.feed.completeThrough();
    if (completeThrough === null || completeThrough > this.acknowledged.sequence || this.isOver())
      return null;
    this.endSent = true;
    const { indexId, sequence, token } = this.acknowledged;
    return [{ type: 'indexEnd', folder: this.feed.folderId, indexId, through: sequence, token }];
  }

  /** @throws CodedError PROTOCOL_VIOLATION (a checkpoint that was not sent or is durable already) */
  durable({ indexId, sequence, token }: Durable): FeedPosition {
    const at = this.inFlight.findIndex((sent) => sent.sequence === sequence);
    const position = this.inFlight[at];
    if (position === undefined || !position.indexId.equals(indexId) || !position.token.equals(token)) {
      throw new CodedError(
        'PROTOCOL_VIOLATION',
        `sequence ${sequence} is durable there but is not in flight`,
      );
    }
    this.inFlight.splice(0, at + 1);
    this.acknowledged = { indexId, sequence, token };
    return this.acknowledged;
  }

  private nextBatch() {
    const batch = this.feed.batchAfter(this.sentThrough, limits.recordsPerCheckpointMax);
    if (batch === null) return null;
    let bytes = 0;
    const cut = batch.records.findIndex(({ state }) => {
      bytes += state.kind === 'file' ? state.size : 0;
      return bytes > batchContentBytes;
    });
    return cut < 0 ? batch : (this.feed.batchAfter(this.sentThrough, Math.max(1, cut)) ?? batch);
  }
}

/** The position before everything in an index. */
export function startOf(indexId: Buffer): FeedPosition {
  return { indexId, sequence: 0, token: emptyToken };
}

function splitBatch(
  folder: string,
  indexId: Buffer,
  batch: { records: FileRecord[]; through: number; token: Buffer; isHead: boolean },
): Message[] {
  const messages: ({ type: 'records' } & Records)[] = [];
  let part: FileRecord[] = [];
  let bytes = 0;
  for (const record of batch.records) {
    const recordBytes = recordWireBytesMax(record);
    if (part.length > 0 && bytes + recordBytes > limits.recordsMessageBytes) {
      messages.push({ type: 'records', folder, indexId, records: part, checkpoint: null });
      part = [];
      bytes = 0;
    }
    part.push(record);
    bytes += recordBytes;
  }
  const { through, token, isHead } = batch;
  const checkpoint = { through, token, isHead };
  return [...messages, { type: 'records', folder, indexId, records: part, checkpoint }];
}
