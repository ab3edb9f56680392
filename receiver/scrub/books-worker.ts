import { parentPort, workerData } from 'node:worker_threads';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { checkBooks, type BooksInput } from '../store/books-check.ts';
import type { BooksEvent } from './books-threads.ts';

/** How long the thread rests after each piece, so that a slow disk has time for others. */
const restMs = 2;

const resting = new Int32Array(new SharedArrayBuffer(4));
const tell = (event: BooksEvent): void => parentPort?.postMessage(event);

const verdict = checkBooks(
  {
    disk: nodeDisk,
    onBegun: () => tell({ type: 'begun' }),
    pause: () => void Atomics.wait(resting, 0, 0, restMs),
  },
  workerData as BooksInput,
);
tell({ type: 'checked', verdict });
