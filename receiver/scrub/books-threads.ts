import { Worker } from 'node:worker_threads';
import { workerEntry } from '../../shared/io/worker-entry.ts';
import type { BooksInput, BooksVerdict } from '../store/books-check.ts';

/** What a thread tells. */
export type BooksEvent = { type: 'begun' } | { type: 'checked'; verdict: BooksVerdict };

/** Runs `checkBooks` in threads of their own, because a large database keeps one busy for long. */
export class BooksThreads {
  readonly #workers = new Set<Worker>();

  /** @throws what the thread threw, or that it was ended */
  check(input: BooksInput, onBegun: () => void): Promise<BooksVerdict> {
    return new Promise((resolve, reject) => {
      const worker = new Worker(workerEntry('books-worker', import.meta.url), {
        workerData: input,
        resourceLimits: { maxYoungGenerationSizeMb: 4 },
      });
      this.#workers.add(worker);
      worker.on('message', (event: BooksEvent) => {
        if (event.type === 'begun') onBegun();
        else resolve(event.verdict);
      });
      worker.on('error', reject);
      worker.on('exit', () => {
        this.#workers.delete(worker);
        reject(new Error('the thread that compares journal and database was ended'));
      });
    });
  }

  /** Ends what is under way, which is rejected. */
  close(): void {
    for (const worker of this.#workers) void worker.terminate();
  }
}
