import { hash as digest } from 'node:crypto';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { IndexEnd } from '../../shared/protocol/index-end.ts';
import { limits } from '../../shared/protocol/limits.ts';
import type { Records } from '../../shared/protocol/records.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';

/** The SHA-256 of nothing: the only hash that an empty file may have. */
const emptyHash: Buffer = digest('sha256', '', 'buffer');

export type RecordBatch = {
  indexId: Buffer;
  records: FileRecord[];
  through: number;
  token: Buffer;
  isHead: boolean;
};

const violation = (what: string): CodedError => new CodedError('PROTOCOL_VIOLATION', what);

/** What an agent says of one folder after a subscribe, checked: order, bounds, and nothing that was not due. */
export class RecordStream {
  private readonly indexId: Buffer;
  private gathered: FileRecord[] = [];
  private gatheredPaths = new Set<string>();
  private lastSequence: number;
  private receivedThrough: number;
  private durableThrough: number;
  private batchesOpen = 0;
  private endSeen = false;

  /** `position`: what the receiver subscribed with. */
  constructor(indexId: Buffer, position: FeedPosition | null) {
    this.indexId = indexId;
    const from = position !== null && position.indexId.equals(indexId) ? position.sequence : 0;
    this.lastSequence = from;
    this.receivedThrough = from;
    this.durableThrough = from;
  }

  /** The batch that the message completes, or null where more of it follows. @throws CodedError PROTOCOL_VIOLATION */
  add({ indexId, records, checkpoint }: Records): RecordBatch | null {
    if (!indexId.equals(this.indexId)) throw violation('records of another index than the one subscribed to');
    if (this.batchesOpen >= limits.checkpointsInFlightMax)
      throw violation('more batches than may be in flight');
    if (records.length === 0 && checkpoint === null) throw violation('records without a record');
    if (this.gathered.length + records.length > limits.recordsPerCheckpointMax) {
      throw violation(`more than ${limits.recordsPerCheckpointMax} records up to a checkpoint`);
    }
    for (const record of records) this.addRecord(record);
    if (checkpoint === null) return null;
    if (checkpoint.through < this.lastSequence || checkpoint.through <= this.receivedThrough) {
      throw violation(`checkpoint ${checkpoint.through} goes back behind sequence ${this.lastSequence}`);
    }
    const batch = { indexId, records: this.gathered, ...checkpoint };
    this.gathered = [];
    this.gatheredPaths = new Set();
    this.lastSequence = checkpoint.through;
    this.receivedThrough = checkpoint.through;
    this.batchesOpen += 1;
    return batch;
  }

  /** A batch became durable: another may come. */
  committed(batch: RecordBatch): void {
    this.batchesOpen -= 1;
    this.durableThrough = batch.through;
  }

  /** @throws CodedError PROTOCOL_VIOLATION */
  end({ indexId, through }: IndexEnd): void {
    if (!indexId.equals(this.indexId)) throw violation('the end of another index than the one subscribed to');
    if (this.endSeen) throw violation('a second end of the same index');
    if (through > this.durableThrough)
      throw violation(`the index ends at ${through}, which is not durable yet`);
    this.endSeen = true;
  }

  private addRecord(record: FileRecord): void {
    const { path, sequence, replaces, state } = record;
    if (sequence <= this.lastSequence) throw violation(`sequence ${sequence} follows ${this.lastSequence}`);
    if (replaces !== null && replaces >= sequence)
      throw violation(`sequence ${sequence} replaces ${replaces}`);
    if (this.gatheredPaths.has(path)) throw violation('a path twice up to one checkpoint');
    if (path === '' && state.kind !== 'directory' && state.kind !== 'deleted') {
      throw violation(`the root is announced as a ${state.kind}`);
    }
    if (state.kind === 'file' && state.size === 0 && !state.hash.equals(emptyHash)) {
      throw violation('an empty file is announced with the hash of another');
    }
    this.lastSequence = sequence;
    this.gatheredPaths.add(path);
    this.gathered.push(record);
  }
}
