import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const [write, fdatasync, rename] = [promisify(fs.write), promisify(fs.fdatasync), promisify(fs.rename)];
const pauseMs = 20;
const bytes = Buffer.alloc(4096, 1);

/**
 * What a busy machine takes away. While something is measured, the yardstick does over and over, on the same disk, what a
 * delivery consists of: it waits for a timer, writes a little, syncs it and renames it. What that takes beyond its
 * best is time in which the machine did something else, and what is measured cannot have had either.
 */
export class Yardstick {
  readonly #file: string;
  #bestMs = Infinity;

  /** Works on a file in `directory`. */
  constructor(directory: string) {
    this.#file = path.join(directory, 'yardstick');
  }

  /** Learns what one round takes when it is quick. */
  async calibrate(rounds = 20): Promise<void> {
    for (let round = 0; round < rounds; round += 1) await this.#round();
  }

  /** How many times as long as at its best a round takes now, on average. */
  async slowness(rounds = 10): Promise<number> {
    const startedAt = performance.now();
    for (let round = 0; round < rounds; round += 1) await this.#round();
    return (performance.now() - startedAt) / rounds / this.#bestMs;
  }

  /** Runs `work` and gives what it gave, how long it took, and how much of that the machine did something else. */
  async measure<T>(work: () => Promise<T>): Promise<{ result: T; tookMs: number; takenAwayMs: number }> {
    const state = { done: false };
    const measuring = (async () => {
      let takenAwayMs = 0;
      while (!state.done) takenAwayMs += Math.max(0, (await this.#round()) - this.#bestMs);
      return takenAwayMs;
    })();
    const startedAt = performance.now();
    try {
      const result = await work();
      const tookMs = performance.now() - startedAt;
      state.done = true;
      return { result, tookMs, takenAwayMs: await measuring };
    } finally {
      state.done = true;
      await measuring;
    }
  }

  async #round(): Promise<number> {
    const startedAt = performance.now();
    await delay(pauseMs);
    const fd = fs.openSync(this.#file, 'w');
    await write(fd, bytes);
    await fdatasync(fd);
    fs.closeSync(fd);
    await rename(this.#file, `${this.#file}.renamed`);
    const tookMs = performance.now() - startedAt;
    this.#bestMs = Math.min(this.#bestMs, tookMs);
    return tookMs;
  }
}
