import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { partition, snowflake } from '../support/mastodon-tree.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import type { Arrival, ArrivalWatch } from './arrival-watch.ts';

const perSecond = 20;
const bytesMax = 1024 * 1024;
const [medianBytes, sigma] = [100_000, 1.1];

/**
 * New media as Mastodon stores them, 20 files a second: five new directories and an original that is moved to its place,
 * then another directory and a small picture that is written in its place. Sizes up to 1 MiB, 100 KB the middle one.
 */
export class UploadStream {
  readonly #root: string;
  readonly #outside: string;
  readonly #watch: ArrivalWatch;
  readonly #random: SeededRandom;
  readonly #arrivals: Promise<Arrival>[] = [];
  #stopped = false;
  #running: Promise<void>;

  /** Begins at once. `outside`: a directory of the same file system that is not replicated. */
  constructor(root: string, outside: string, watch: ArrivalWatch, seed: string) {
    this.#root = root;
    this.#outside = outside;
    this.#watch = watch;
    this.#random = new SeededRandom(seed);
    this.#running = this.#run();
  }

  /** No file comes any more; resolves when all that came are durable. */
  async stop(): Promise<Arrival[]> {
    this.#stopped = true;
    await this.#running;
    return Promise.all(this.#arrivals);
  }

  async #run(): Promise<void> {
    const startedAt = performance.now();
    for (let made = 0; !this.#stopped; made += 2) {
      const id = partition(snowflake(Date.now(), this.#random.integer(0, 65_535)));
      const [name, directory] = [`${this.#random.hex(16)}.jpg`, `media_attachments/files/${id}`];
      for (const [at, style] of ['original', 'small'].entries()) {
        await pause(Math.max(0, startedAt + ((made + at) * 1000) / perSecond - performance.now()));
        this.#write(`${directory}/${style}/${name}`, style === 'original');
      }
    }
  }

  #write(relative: string, isMoved: boolean): void {
    const file = path.join(this.#root, relative);
    const content = this.#random.bytes(Math.min(bytesMax, this.#random.lognormal(medianBytes, sigma)));
    fs.mkdirSync(path.dirname(file), { recursive: true });
    if (isMoved) {
      const aside = path.join(this.#outside, path.basename(file));
      fs.writeFileSync(aside, content);
      fs.renameSync(aside, file);
    } else fs.writeFileSync(file, content);
    const closedAt = performance.now();
    const { mtimeNs } = fs.statSync(file, { bigint: true });
    this.#arrivals.push(this.#watch.arrival(relative, mtimeNs, closedAt));
  }
}
