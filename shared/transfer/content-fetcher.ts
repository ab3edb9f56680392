import { fileChunking } from '../chunking/chunking-parameters.ts';
import { CodedError } from '../errors/coded-error.ts';
import type { Chunks } from '../protocol/chunks.ts';
import type { Content } from '../protocol/content.ts';
import type { Gone, GoneReason } from '../protocol/gone.ts';
import { limits } from '../protocol/limits.ts';
import { type ChunkBasis, ChunkLocations, readBasis } from './chunk-locations.ts';
import { RangeFetcher, type RangeFetcherDeps, type TakeRange, type WantedContent } from './range-fetcher.ts';
import { hasHash } from './verified-read.ts';

/** Where a large content is put together; it may hold parts of an earlier attempt, in any state. */
export type PartialTarget = {
  /** Bytes up to the end of what was written; ranges below may be holes. */
  readonly size: number;
  read(offset: number, length: number): Promise<Uint8Array> | Uint8Array;
  write(offset: number, bytes: Uint8Array): Promise<void> | void;
};

export type FetchedBytes = {
  /** Bytes that came over the link. */
  received: number;
  /** Bytes that an earlier attempt, a basis or an equal chunk of the same content had. */
  reused: number;
};

type PageRequest = { resolve: (page: Chunks | GoneReason) => void; reject: (error: unknown) => void };

/** How much is read and hashed before other work gets a turn. */
const bytesPerTurn = 4 * 1024 * 1024;
/** Ranges of one content that wait at the RangeFetcher at once. */
const rangesQueuedMax = 256;

/**
 * The asking side of content, for a receiver that pulls and a restore: whole contents up to 1 MiB, larger ones by their chunk list,
 * so that only chunks come over the link which neither an earlier attempt nor a basis has. The owner of the link hands every
 * `content`, `gone` and `chunks` message to it and calls `end` when the link ended.
 */
export class ContentFetcher {
  private readonly deps: RangeFetcherDeps;
  private readonly ranges: RangeFetcher;
  private readonly pages = new Map<number, PageRequest>();

  constructor(deps: RangeFetcherDeps) {
    this.deps = deps;
    this.ranges = new RangeFetcher(deps);
  }

  /** Bytes asked for and not taken yet. */
  get bytesInFlight(): number {
    return this.ranges.bytesInFlight;
  }

  /** A number for another kind of request (browse) on the same link. */
  takeRequestId(): number {
    return this.ranges.takeRequestId();
  }

  /**
   * Fetches a content of 1 byte to 1 MiB; `take` gets it verified, or verifies it itself. Resolves once `take` has, or with the reason why there is none.
   * @throws CodedError CONTENT_MISMATCH (wrong twice), LINK_CLOSED, what ended the link, what `take` throws
   */
  fetchWhole(
    wanted: WantedContent,
    take: TakeRange,
    verifiedBy: 'fetcher' | 'taker' = 'fetcher',
  ): Promise<'taken' | GoneReason> {
    const rangeHash = verifiedBy === 'fetcher' ? wanted.hash : null;
    return this.ranges.fetch({ content: wanted, offset: 0, length: wanted.size, rangeHash }, take);
  }

  /**
   * Puts a content of more than 1 MiB together in `target`: every chunk that `target` has already stays, chunks that a basis has
   * are copied, the rest is fetched. Every chunk is verified; that the chunks are the content, the caller verifies by the hash of
   * the whole. Resolves when all is written (not synced), or with the reason why there is none.
   * @throws CodedError CONTENT_MISMATCH, PROTOCOL_VIOLATION (an impossible chunk list), LINK_CLOSED, what `target` throws
   */
  async fetchChunked(
    wanted: WantedContent,
    target: PartialTarget,
    bases: readonly ChunkBasis[],
  ): Promise<GoneReason | FetchedBytes> {
    const known = new ChunkLocations();
    const assembly = new Assembly(wanted, target, known, this.ranges);
    let indexedBases = false;
    for (let from = 0, total = Infinity; from < total;) {
      const page = await this.fetchPage(wanted, from);
      if (typeof page === 'string') return page;
      checkPage(page, wanted, from, total);
      total = page.total;
      if (!indexedBases) {
        for (const basis of bases) await known.addBasis(basis);
        indexedBases = true;
      }
      const gone = await assembly.addChunks(page.chunks);
      if (gone !== null) return gone;
      from += page.chunks.length;
    }
    assembly.checkComplete();
    return { received: assembly.receivedBytes, reused: assembly.reusedBytes };
  }

  /** @throws CodedError PROTOCOL_VIOLATION */
  receiveContent(message: Content): void {
    this.ranges.receiveContent(message);
  }

  /** @throws CodedError PROTOCOL_VIOLATION */
  receiveGone(message: Gone): void {
    const page = this.takePage(message.requestId);
    if (page === null) this.ranges.receiveGone(message);
    else page.resolve(message.reason);
  }

  /** @throws CodedError PROTOCOL_VIOLATION */
  receiveChunks(message: Chunks): void {
    const page = this.takePage(message.requestId);
    if (page === null) {
      throw new CodedError(
        'PROTOCOL_VIOLATION',
        `chunks for request ${message.requestId} were not asked for`,
      );
    }
    page.resolve(message);
  }

  /** Rejects everything that is under way, now and later. */
  end(error: CodedError): void {
    this.ranges.end(error);
    for (const page of this.pages.values()) page.reject(error);
    this.pages.clear();
  }

  private fetchPage(wanted: WantedContent, from: number): Promise<Chunks | GoneReason> {
    return new Promise((resolve, reject) => {
      const requestId = this.takeRequestId();
      this.pages.set(requestId, { resolve, reject });
      this.deps.deadline.asked();
      const { folder, path, hash } = wanted;
      this.deps.send({ type: 'wantChunks', requestId, folder, path, hash, from }).catch((error: unknown) => {
        this.takePage(requestId);
        reject(error);
      });
    });
  }

  private takePage(requestId: number): PageRequest | null {
    const page = this.pages.get(requestId);
    if (page === undefined) return null;
    this.pages.delete(requestId);
    this.deps.deadline.answered();
    return page;
  }
}

/** @throws CodedError PROTOCOL_VIOLATION */
function checkPage(page: Chunks, wanted: WantedContent, from: number, total: number): void {
  const chunksMax = Math.ceil(wanted.size / fileChunking.bytesMin);
  const expected = Math.min(limits.chunksPageMax, page.total - from);
  if (
    page.from !== from ||
    page.total > chunksMax ||
    (total !== Infinity && page.total !== total) ||
    page.chunks.length !== expected
  ) {
    throw new CodedError('PROTOCOL_VIOLATION', 'a page of a chunk list is not the one that was asked for');
  }
}

/** Chunks of one page that are under way, by their hash, and how the first that failed did. */
type PageState = {
  cancelling: AbortController;
  fetches: Map<string, Promise<void>>;
  gone: GoneReason | null;
  error: Error | null;
};

/** One content that is being put together, chunk after chunk. */
class Assembly {
  receivedBytes = 0;
  reusedBytes = 0;
  private readonly wanted: WantedContent;
  private readonly target: PartialTarget;
  private readonly known: ChunkLocations;
  private readonly ranges: RangeFetcher;
  private readonly resumableBytes: number;
  private offset = 0;
  private bytesThisTurn = 0;

  constructor(wanted: WantedContent, target: PartialTarget, known: ChunkLocations, ranges: RangeFetcher) {
    this.wanted = wanted;
    this.target = target;
    this.known = known;
    this.ranges = ranges;
    this.resumableBytes = target.size;
  }

  /** Resolves when these chunks are written, or with the reason why one cannot be had. Nothing is under way when it settles. */
  async addChunks(chunks: Chunks['chunks']): Promise<GoneReason | null> {
    const page: PageState = {
      cancelling: new AbortController(),
      fetches: new Map(),
      gone: null,
      error: null,
    };
    try {
      for (const { length, hash } of chunks) {
        const offset = this.offset;
        this.offset += length;
        if (this.offset > this.wanted.size) {
          throw new CodedError('PROTOCOL_VIOLATION', 'a chunk list is longer than its content');
        }
        // an equal chunk that is on its way is copied when it is there
        await page.fetches.get(hash.toString('latin1'));
        if (page.cancelling.signal.aborted) break;
        if (await this.reuse(offset, length, hash)) continue;
        this.startFetch(page, offset, length, hash);
        if (page.fetches.size >= rangesQueuedMax) await Promise.race(page.fetches.values());
      }
    } catch (error) {
      page.error ??= error instanceof Error ? error : new Error(String(error));
      page.cancelling.abort();
    }
    await Promise.all(page.fetches.values());
    if (page.error !== null) throw page.error;
    return page.gone;
  }

  /** @throws CodedError PROTOCOL_VIOLATION */
  checkComplete(): void {
    if (this.offset === this.wanted.size) return;
    throw new CodedError('PROTOCOL_VIOLATION', 'a chunk list is shorter than its content');
  }

  private startFetch(page: PageState, offset: number, length: number, hash: Buffer): void {
    const key = hash.toString('latin1');
    const write = async (bytes: Buffer): Promise<void> => {
      await this.target.write(offset, bytes);
      this.receivedBytes += length;
      this.known.add(key, { basis: this.target, offset, length });
    };
    const range = { content: this.wanted, offset, length, rangeHash: hash };
    const fetch = async (): Promise<void> => {
      try {
        const result = await this.ranges.fetch(range, write, page.cancelling.signal);
        if (result === 'taken') return;
        page.gone ??= result;
        page.cancelling.abort();
      } catch (error) {
        if (!page.cancelling.signal.aborted) {
          page.error ??= error instanceof Error ? error : new Error(String(error));
        }
        page.cancelling.abort();
      } finally {
        page.fetches.delete(key);
      }
    };
    page.fetches.set(key, fetch());
  }

  /** Finds the chunk in the target, or copies it from a basis; false where it must be fetched. */
  private async reuse(offset: number, length: number, hash: Buffer): Promise<boolean> {
    if (offset + length <= this.resumableBytes) {
      await this.rest(length);
      if (hasHash(await this.target.read(offset, length), hash)) {
        this.keep(offset, length, hash);
        return true;
      }
    }
    const location = this.known.find(hash);
    if (location === null || location.length !== length) return false;
    await this.rest(length);
    const bytes = await readBasis(location, length);
    if (bytes === null || !hasHash(bytes, hash)) return false;
    await this.target.write(offset, bytes);
    this.keep(offset, length, hash);
    return true;
  }

  private keep(offset: number, length: number, hash: Buffer): void {
    this.reusedBytes += length;
    this.known.add(hash.toString('latin1'), { basis: this.target, offset, length });
  }

  /** Lets other work have a turn after some megabytes of reading and hashing. */
  private async rest(bytes: number): Promise<void> {
    this.bytesThisTurn += bytes;
    if (this.bytesThisTurn < bytesPerTurn) return;
    this.bytesThisTurn = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
