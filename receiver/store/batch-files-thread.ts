import { Worker } from 'node:worker_threads';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { DiskPath } from '../../shared/io/disk.ts';
import { workerEntry } from '../../shared/io/worker-entry.ts';
import type { Additions, BatchFiles, UnsyncedContent } from './batch-files.ts';
import type { BatchFilesAnswer, BatchFilesRequest, BatchFilesTask } from './batch-files-message.ts';

type Waiter = { resolve: (done: boolean) => void; reject: (error: Error) => void };

/**
 * Does the file work of batches in a thread, so that contents arrive meanwhile: making directories takes longer than
 * everything else that a first copy does on the disk. The thread begins with the first batch.
 */
export class BatchFilesThread implements BatchFiles {
  readonly #waiters = new Map<number, Waiter>();
  #worker: Worker | null = null;
  #nextId = 1;
  #closed = false;

  async syncContents(incoming: DiskPath, contents: readonly UnsyncedContent[]): Promise<void> {
    await this.#ask({ type: 'syncContents', incoming, contents });
  }

  async add(additions: Additions): Promise<boolean> {
    return this.#ask({ type: 'add', additions });
  }

  /** Ends the thread; what is under way is rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
  }

  #ask(task: BatchFilesTask): Promise<boolean> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new CodedError('INTERNAL', 'the thread for files is closed'));
        return;
      }
      this.#worker ??= this.#start();
      const id = this.#nextId;
      this.#nextId += 1;
      this.#waiters.set(id, { resolve, reject });
      this.#worker.postMessage({ id, task } satisfies BatchFilesRequest);
    });
  }

  #start(): Worker {
    const worker = new Worker(workerEntry('batch-files-worker', import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    // whoever waits for a batch keeps the program running
    worker.unref();
    worker.on('message', (answer: BatchFilesAnswer) => this.#answered(answer));
    worker.on('error', (error: Error) => this.#ended(worker, error));
    worker.on('exit', () => this.#ended(worker, new Error('it has ended')));
    return worker;
  }

  #answered(answer: BatchFilesAnswer): void {
    const waiter = this.#waiters.get(answer.id);
    this.#waiters.delete(answer.id);
    if (answer.type === 'done') waiter?.resolve(answer.done);
    else {
      const { code, message, hint, context } = answer;
      waiter?.reject(new CodedError(code, message, { context, ...(hint === null ? {} : { hint }) }));
    }
  }

  #ended(worker: Worker, cause: Error): void {
    // one that failed ends afterwards, and another one may be at work by then
    if (this.#worker !== worker) return;
    this.#worker = null;
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const { reject } of waiters)
      reject(new CodedError('INTERNAL', 'the thread for files broke off', { cause }));
  }
}
