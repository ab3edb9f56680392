import { Worker } from 'node:worker_threads';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { collectEvery } from '../../shared/io/garbage-collection.ts';
import { workerEntry } from '../../shared/io/worker-entry.ts';
import type { Sealer } from '../../shared/sealing/sealer.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';
import { sealedBytesMax } from '../../shared/sealing/sealed-bytes.ts';
import type { CutEvent, CutRequest, CutWorkerData } from './cut-message.ts';
import { garbageCollector } from './garbage-collector.ts';
import type { CutFile, FilledPack, FillerStats, FlatExtents } from './pack-filler.ts';
import type { SealedEvent, SealWorkerData } from './seal-message.ts';
import { SealingThreads } from './sealing-threads.ts';

/** An object that lies in the spool, durable, and is not in the database yet. */
export type SpooledSeal = { id: number; hash: Buffer; bytes: number; chunkList: Buffer | null };

export type PackPipelineDeps = {
  /** Resolves when the spool has room for as many bytes as `bytesNeeded` says then. */
  waitForRoom(bytesNeeded: () => number): Promise<void>;
  /**
   * A pack is durable in the spool; when this returns, it is in the database. True when the chunks of this one and all
   * before it can be found there.
   */
  onPack(sealed: SpooledSeal, plainBytes: number, chunks: Buffer): boolean;
  /** Extents of the file that is being written, in order, all of them before its end. */
  onExtents(extents: FlatExtents): void;
};

export type PackPipelineOptions = Omit<CutWorkerData, 'packBytesMax'> &
  Omit<SealWorkerData, 'nothingKnown'> & { sealer: Sealer; packBytesMax?: number };

const batchBytes = 512 * 1024;
/** So much keeps the cutting thread busy while this one serves receivers or writes the database: up to 15 ms. */
const batchesMax = 8;
const collectEveryBytes = 6 * 1024 * 1024;
/** A quarter of what a pack may hold: sealing takes about ten times that in memory. */
const packBytesDefault = sealedLimits.packPlainBytesMax / 4;

/**
 * One thread cuts, hashes and looks up, others compress, seal and write. At most a few megabytes of the stream and a pack
 * more than the threads seal at once are in memory besides the one that is being filled. One call is under way at a time.
 */
export class PackPipeline {
  readonly #deps: PackPipelineDeps;
  readonly #cutter: Worker;
  readonly #sealers: SealingThreads;
  readonly #sealer: Sealer;
  /** Told of what a receiver is sent through this thread, which leaves as much garbage. */
  readonly #passed = collectEvery(collectEveryBytes, garbageCollector());
  /** Gathers pieces of the file, so that threads hand over few large messages; `#gathered` bytes are in it. */
  #batch: Uint8Array<ArrayBuffer> | null = null;
  #gathered = 0;
  readonly #emptyBatches = Array.from({ length: batchesMax }, () => new ArrayBuffer(batchBytes));
  #packsUnderWay = 0;
  #failure: Error | null = null;
  #closing = false;
  #file: CutFile | null = null;
  #flushed: FillerStats | null = null;
  readonly #sealed = new Map<number, SpooledSeal>();
  readonly #packs = new Map<number, { plainBytes: number; chunks: Buffer }>();
  #wake: () => void = () => {};
  /** Of the one that waits to hand a pack to the sealing threads. */
  #wakeSealing: () => void = () => {};
  #sealing: Promise<void> = Promise.resolve();

  constructor(deps: PackPipelineDeps, options: PackPipelineOptions) {
    this.#deps = deps;
    const { spoolDirectory, sealer, ...cut } = options;
    this.#sealer = sealer;
    const cutData: CutWorkerData = { packBytesMax: packBytesDefault, ...cut };
    const sealData: SealWorkerData = { spoolDirectory, nothingKnown: cut.known.length === 0 };
    this.#cutter = this.#startCutter(cutData);
    this.#cutter.on('message', (event: CutEvent) => this.#cutEvent(event));
    this.#sealers = new SealingThreads(sealData, {
      onSealed: (event) => this.#sealedEvent(event),
      onFailed: (event) => this.#fail(sealingFailure(event)),
      onEnded: (error) => this.#fail(error),
    });
  }

  /** Takes a piece of the file; resolves when it was copied. @throws CodedError SPOOL_FULL, DISK_FAILED */
  async write(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length;) {
      this.#batch ??= await this.#emptyBatch();
      const part = bytes.subarray(from, from + batchBytes - this.#gathered);
      this.#batch.set(part, this.#gathered);
      this.#gathered += part.length;
      from += part.length;
      if (this.#gathered === batchBytes) this.#sendBatch();
    }
  }

  /** The end of the file. */
  async endFile(): Promise<CutFile> {
    this.#file = null;
    this.#sendBatch();
    this.#post({ type: 'endFile' });
    await this.#until(() => this.#file !== null);
    return this.#file as unknown as CutFile;
  }

  /** Resolves when everything that was written is sealed and in the database. */
  async flush(): Promise<FillerStats> {
    this.#flushed = null;
    this.#post({ type: 'flush' });
    await this.#until(() => this.#flushed !== null && this.#packsUnderWay === 0);
    return this.#flushed as unknown as FillerStats;
  }

  /** Seals a root message, which the caller adds to the database. Call it behind a flush. */
  async sealRoot(content: Uint8Array<ArrayBuffer>): Promise<SpooledSeal> {
    const id = -1;
    await this.#deps.waitForRoom(() => sealedBytesMax(content.length));
    const key = await this.#sealer.createMessageKey();
    this.#sealers.seal({ kind: 'root', id, content, key });
    await this.#until(() => this.#sealed.has(id));
    return this.#sealed.get(id) as SpooledSeal;
  }

  /** Ends the threads; whatever is under way is dropped. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#wakeAll();
    await Promise.all([this.#cutter.terminate(), this.#sealers.close()]);
  }

  #startCutter(workerData: CutWorkerData): Worker {
    const worker = new Worker(workerEntry('cut-worker', import.meta.url), {
      workerData,
      name: 'cutting',
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    worker.on('error', (error: Error) => this.#fail(error));
    worker.on('exit', () => {
      if (!this.#closing) this.#fail(new Error('the cut-worker ended'));
    });
    return worker;
  }

  #cutEvent(event: CutEvent): void {
    switch (event.type) {
      case 'taken':
        this.#emptyBatches.push(event.buffer);
        break;
      case 'extents':
        this.#deps.onExtents(event.extents);
        break;
      case 'file':
        this.#file = { size: event.size, hash: Buffer.from(event.hash) };
        break;
      case 'pack':
        this.#packsUnderWay += 1;
        this.#sealing = this.#sealing
          .then(async () => this.#seal(event))
          .catch((error: Error) => this.#fail(error));
        break;
      case 'flushed':
        this.#flushed = event.stats;
        break;
      case 'failed':
        this.#fail(new Error(event.message));
        break;
    }
    this.#wake();
  }

  async #seal({ pack, content, chunks }: FilledPack): Promise<void> {
    await this.#deps.waitForRoom(() => this.#unsealedBytesMax() + sealedBytesMax(content.length));
    const key = await this.#sealer.createMessageKey();
    if (this.#failure !== null || this.#closing) return;
    this.#packs.set(pack, { plainBytes: content.length, chunks: Buffer.from(chunks) });
    this.#sealers.seal({ kind: 'pack', id: pack, content, key });
    while (this.#packs.size >= this.#sealers.requestsMax && this.#failure === null && !this.#closing) {
      await new Promise<void>((resolve) => {
        this.#wakeSealing = resolve;
      });
    }
  }

  /** What the packs with the sealing threads may come to in the spool. */
  #unsealedBytesMax(): number {
    return this.#packs.values().reduce((sum, { plainBytes }) => sum + sealedBytesMax(plainBytes), 0);
  }

  #sealedEvent(event: SealedEvent): void {
    if (!this.#closing && this.#failure === null) {
      const { id, bytes } = event;
      const chunkList = event.chunkList === null ? null : Buffer.from(event.chunkList);
      this.#take({ id, hash: Buffer.from(event.hash), bytes, chunkList }, event.buffer);
    }
    this.#wakeAll();
  }

  #take(sealed: SpooledSeal, buffer: ArrayBuffer): void {
    const pack = this.#packs.get(sealed.id);
    if (pack === undefined) {
      this.#sealed.set(sealed.id, sealed);
      return;
    }
    let findable: boolean;
    try {
      findable = this.#deps.onPack(sealed, pack.plainBytes, pack.chunks);
    } catch (error) {
      this.#fail(error as Error);
      return;
    }
    this.#packs.delete(sealed.id);
    this.#packsUnderWay -= 1;
    this.#passed(sealed.bytes);
    this.#post({ type: 'committed', pack: sealed.id, findable, buffer }, [buffer]);
  }

  async #emptyBatch(): Promise<Uint8Array<ArrayBuffer>> {
    await this.#until(() => this.#emptyBatches.length > 0 && this.#packsUnderWay < this.#sealers.requestsMax);
    return new Uint8Array(this.#emptyBatches.pop() as ArrayBuffer);
  }

  #sendBatch(): void {
    if (this.#batch === null) return;
    const { buffer } = this.#batch;
    this.#post({ type: 'bytes', buffer, length: this.#gathered }, [buffer]);
    this.#batch = null;
    this.#gathered = 0;
  }

  #post(request: CutRequest, transfer: ArrayBuffer[] = []): void {
    this.#cutter.postMessage(request, transfer);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wakeAll();
  }

  #wakeAll(): void {
    this.#wake();
    this.#wakeSealing();
  }

  async #until(condition: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      if (this.#closing) throw new CodedError('INTERNAL', 'the pipeline was closed');
      if (condition()) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

function sealingFailure({ code, message }: { code: string; message: string }): Error {
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new CodedError('SPOOL_FULL', `there is no room left on the disk of the spool: ${message}`, {
      hint: 'free some space on this server; what was sealed already is kept',
    });
  }
  if (code.startsWith('E')) return new CodedError('DISK_FAILED', `the spool cannot be written: ${message}`);
  return new Error(message);
}
