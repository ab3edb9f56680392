import { CodedError, isCoded } from '../errors/coded-error.ts';
import type { Message } from '../protocol/codec.ts';
import type { Content } from '../protocol/content.ts';
import type { Gone, GoneReason } from '../protocol/gone.ts';
import { limits } from '../protocol/limits.ts';
import type { RelativePath } from '../records/relative-path.ts';
import type { AnswerDeadline } from './answer-deadline.ts';
import { hasHash } from './verified-read.ts';

/** A content as announced. */
export type WantedContent = { folder: string; path: RelativePath; hash: Buffer; size: number };

/**
 * A range of a content that has a hash of its own: the whole, or a chunk. At most 1 MiB. `rangeHash` null: whoever takes it
 * verifies it.
 */
export type WantedRange = {
  content: WantedContent;
  offset: number;
  length: number;
  rangeHash: Buffer | null;
};

/**
 * Takes the verified bytes of a range; they are a view that is valid until it resolves. One that verifies them itself throws
 * CONTENT_MISMATCH for wrong ones, before it has kept anything of them.
 */
export type TakeRange = (bytes: Buffer) => Promise<void> | void;

type Job = WantedRange & {
  take: TakeRange;
  cancelled: AbortSignal | null;
  mismatches: number;
  settle: (outcome: 'taken' | GoneReason) => void;
  fail: (error: unknown) => void;
};

type OpenItem = { job: Job; receivedBytes: number; gathered: Buffer | null };
type OpenRequest = { items: (OpenItem | null)[]; openItems: number };

export type RangeFetcherDeps = {
  /** Resolves when the message went to the kernel; rejects with LINK_CLOSED. */
  send(message: Message): Promise<void>;
  /** Told of every request and answer. */
  deadline: AnswerDeadline;
};

/** Ranges per want: enough that requests are no round trips, few enough that several folders take turns. */
const itemsPerWant = 256;
const bytesPerWant = 4 * 1024 * 1024;

/**
 * Fetches ranges over one link: gathers them into wants, keeps at most 32 MiB between the asking and the taking, lets folders take
 * turns, verifies every range before it is taken, and asks once more for one that does not have its hash.
 */
export class RangeFetcher {
  private readonly deps: RangeFetcherDeps;
  private readonly queues = new Map<string, Job[]>();
  private readonly requests = new Map<number, OpenRequest>();
  private nextRequestId = 1;
  private bytesAsked = 0;
  private pumping = false;
  private ended: CodedError | null = null;

  constructor(deps: RangeFetcherDeps) {
    this.deps = deps;
  }

  /** Bytes asked for and not taken yet. */
  get bytesInFlight(): number {
    return this.bytesAsked;
  }

  /** A number for a request of any kind on this link. */
  takeRequestId(): number {
    const id = this.nextRequestId;
    this.nextRequestId = id === 0xffff_ffff ? 1 : id + 1;
    return id;
  }

  /**
   * Resolves when `take` has resolved ('taken'), or with the reason why the other side cannot give the range. Rejects with what
   * `take` throws; CONTENT_MISMATCH after two wrong answers; LINK_CLOSED or the link's error when it ended; an AbortError where
   * `cancelled` was aborted before the range was asked for.
   */
  fetch(
    range: WantedRange,
    take: TakeRange,
    cancelled: AbortSignal | null = null,
  ): Promise<'taken' | GoneReason> {
    return new Promise((resolve, reject) => {
      if (this.ended !== null) {
        reject(this.ended);
        return;
      }
      this.enqueue({ ...range, take, cancelled, mismatches: 0, settle: resolve, fail: reject }, 'last');
    });
  }

  /** @throws CodedError PROTOCOL_VIOLATION (not asked for, out of order, too long) */
  receiveContent(message: Content): void {
    this.deps.deadline.progressed();
    for (const part of message.parts) {
      const { request, item } = this.openItem(message.requestId, part.item);
      const { job } = item;
      const end = item.receivedBytes + part.bytes.length;
      if (part.offset !== job.offset + item.receivedBytes || end > job.length) {
        throw new CodedError('PROTOCOL_VIOLATION', 'content came out of order or longer than asked for');
      }
      if (end === job.length && item.gathered === null) {
        this.closeItem(message.requestId, request, part.item);
        void this.finish(job, part.bytes);
        continue;
      }
      item.gathered ??= Buffer.allocUnsafeSlow(job.length);
      part.bytes.copy(item.gathered, item.receivedBytes);
      item.receivedBytes = end;
      if (end < job.length) continue;
      this.closeItem(message.requestId, request, part.item);
      void this.finish(job, item.gathered);
    }
  }

  /** @throws CodedError PROTOCOL_VIOLATION (not asked for) */
  receiveGone(message: Gone): void {
    this.deps.deadline.progressed();
    const { request, item } = this.openItem(message.requestId, message.item);
    this.closeItem(message.requestId, request, message.item);
    this.release(item.job);
    item.job.settle(message.reason);
  }

  /** True when the id is that of a want that is not answered in full. */
  expects(requestId: number): boolean {
    return this.requests.has(requestId);
  }

  /** Rejects everything that is not taken yet, now and later: the link ended. */
  end(error: CodedError): void {
    if (this.ended !== null) return;
    this.ended = error;
    for (const queue of this.queues.values()) for (const job of queue) job.fail(error);
    this.queues.clear();
    for (const request of this.requests.values()) {
      for (const item of request.items) item?.job.fail(error);
    }
    this.requests.clear();
  }

  private enqueue(job: Job, place: 'first' | 'last'): void {
    const queue = this.queues.get(job.content.folder);
    if (queue === undefined) this.queues.set(job.content.folder, [job]);
    else if (place === 'first') queue.unshift(job);
    else queue.push(job);
    if (this.pumping) return;
    this.pumping = true;
    // what is asked for in the same turn of the event loop shares a want
    setImmediate(() => {
      void this.pump();
    });
  }

  private async pump(): Promise<void> {
    try {
      for (;;) {
        const want = this.ended === null ? this.gather() : null;
        if (want === null) return;
        await this.deps.send(want);
      }
    } catch (error) {
      this.end(isCoded(error) ? error : new CodedError('LINK_CLOSED', 'asking failed', { cause: error }));
    } finally {
      this.pumping = false;
    }
  }

  /** The next want, of the folder whose turn it is; null when there is nothing to ask or the window is full. */
  private gather(): Message | null {
    if (this.requests.size >= limits.requestsInFlightMax - 8) return null;
    for (const [folder, queue] of this.queues) {
      const jobs = this.takeJobs(queue);
      // one for which there is no room keeps its turn: smaller ones of others would fill the window again and again
      if (jobs.length === 0 && queue.length > 0) return null;
      this.queues.delete(folder);
      if (queue.length > 0) this.queues.set(folder, queue);
      if (jobs.length === 0) continue;
      const requestId = this.takeRequestId();
      const items = jobs.map((job) => ({ job, receivedBytes: 0, gathered: null }));
      this.requests.set(requestId, { items, openItems: items.length });
      this.deps.deadline.asked();
      return {
        type: 'want',
        requestId,
        folder,
        items: jobs.map(({ content, offset, length }) => ({
          path: content.path,
          hash: content.hash,
          offset,
          length,
        })),
      };
    }
    return null;
  }

  private takeJobs(queue: Job[]): Job[] {
    const jobs: Job[] = [];
    let bytes = 0;
    let taken = 0;
    for (const job of queue) {
      if (jobs.length >= itemsPerWant || bytes + job.length > bytesPerWant) break;
      if (this.bytesAsked + job.length > limits.contentBytesInFlightMax) break;
      taken += 1;
      if (job.cancelled?.aborted === true) {
        job.fail(job.cancelled.reason);
        continue;
      }
      jobs.push(job);
      bytes += job.length;
      this.bytesAsked += job.length;
    }
    queue.splice(0, taken);
    return jobs;
  }

  private async finish(job: Job, bytes: Buffer): Promise<void> {
    try {
      if (await takeVerified(job, bytes)) job.settle('taken');
      else this.mismatch(job);
    } catch (error) {
      job.fail(error);
    } finally {
      this.release(job);
    }
  }

  private mismatch(job: Job): void {
    job.mismatches += 1;
    if (job.mismatches > 1) {
      throw new CodedError('CONTENT_MISMATCH', 'content came twice with another hash than announced', {
        context: { folder: job.content.folder, offset: job.offset, lengthBytes: job.length },
      });
    }
    if (this.ended === null) this.enqueue(job, 'first');
    else job.fail(this.ended);
  }

  private release(job: Job): void {
    this.bytesAsked -= job.length;
    if (this.queues.size === 0 || this.pumping || this.ended !== null) return;
    this.pumping = true;
    setImmediate(() => {
      void this.pump();
    });
  }

  private openItem(requestId: number, position: number): { request: OpenRequest; item: OpenItem } {
    const request = this.requests.get(requestId);
    const item = request?.items[position] ?? null;
    if (request === undefined || item === null) {
      throw new CodedError('PROTOCOL_VIOLATION', `request ${requestId}, item ${position} was not asked for`);
    }
    return { request, item };
  }

  private closeItem(requestId: number, request: OpenRequest, position: number): void {
    request.items[position] = null;
    request.openItems -= 1;
    if (request.openItems > 0) return;
    this.requests.delete(requestId);
    this.deps.deadline.answered();
  }
}

/** False: the bytes are not those of the range. */
async function takeVerified({ rangeHash, take }: Job, bytes: Buffer): Promise<boolean> {
  if (rangeHash !== null) {
    if (!hasHash(bytes, rangeHash)) return false;
    await take(bytes);
    return true;
  }
  try {
    await take(bytes);
    return true;
  } catch (error) {
    if (isCoded(error, 'CONTENT_MISMATCH')) return false;
    throw error;
  }
}
