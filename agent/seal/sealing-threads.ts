import { Worker } from 'node:worker_threads';
import { workerEntry } from '../../shared/io/worker-entry.ts';
import type { SealedEvent, SealEvent, SealRequest, SealWorkerData } from './seal-message.ts';

type Thread = { worker: Worker; underWay: number };

type Handlers = {
  /** In the order in which the requests were given. */
  onSealed(event: SealedEvent): void;
  /** A thread could not do what it was asked for. */
  onFailed(event: Extract<SealEvent, { type: 'failed' }>): void;
  /** A thread broke off. */
  onEnded(error: Error): void;
};

/**
 * The threads that compress, seal and write: one, and where everything is to be sealed a second one as soon as the first
 * is busy. A first dump waits for its compression; an hour's dump seals a few megabytes and is spared the memory.
 */
export class SealingThreads {
  /** So many requests keep all threads at work: one each, and one to go on with. */
  readonly requestsMax: number;
  readonly #data: SealWorkerData;
  readonly #handlers: Handlers;
  readonly #threadsMax: number;
  readonly #threads: Thread[] = [];
  /** What is under way, in order; `event` once it is sealed, until all before it are. */
  readonly #requests: { id: number; event: SealedEvent | null }[] = [];
  #closing = false;

  constructor(data: SealWorkerData, handlers: Handlers) {
    this.#data = data;
    this.#handlers = handlers;
    this.#threadsMax = data.nothingKnown ? 2 : 1;
    this.requestsMax = this.#threadsMax + 1;
    this.#start();
  }

  /** Takes over the memory of the content. */
  seal(request: SealRequest): void {
    const thread = this.#leastBusy();
    thread.underWay += 1;
    this.#requests.push({ id: request.id, event: null });
    thread.worker.postMessage(request, [request.content.buffer]);
  }

  /** Ends the threads; whatever is under way is dropped. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #leastBusy(): Thread {
    const [first, second] = this.#threads.toSorted((a, b) => a.underWay - b.underWay);
    const isBusy = first === undefined || first.underWay > 0;
    return isBusy && second === undefined && this.#threads.length < this.#threadsMax
      ? this.#start()
      : (first as Thread);
  }

  #start(): Thread {
    const worker = new Worker(workerEntry('seal-worker', import.meta.url), {
      workerData: this.#data,
      // as `top -H` shows it
      name: 'sealing',
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    const thread = { worker, underWay: 0 };
    worker.on('message', (event: SealEvent) => this.#take(thread, event));
    worker.on('error', (error: Error) => this.#handlers.onEnded(error));
    worker.on('exit', () => {
      if (!this.#closing) this.#handlers.onEnded(new Error('the seal-worker ended'));
    });
    this.#threads.push(thread);
    return thread;
  }

  #take(thread: Thread, event: SealEvent): void {
    if (event.type === 'failed') {
      this.#handlers.onFailed(event);
      return;
    }
    thread.underWay -= 1;
    const request = this.#requests.find(({ id }) => id === event.id);
    if (request !== undefined) request.event = event;
    for (
      let first = this.#requests[0];
      first !== undefined && first.event !== null;
      first = this.#requests[0]
    ) {
      this.#requests.shift();
      this.#handlers.onSealed(first.event);
    }
  }
}
