import { createCipheriv, createHash } from 'node:crypto';

/**
 * Random numbers and bytes that depend on the seed only, so that a failing run can be played again.
 * The generator is mulberry32; bytes come from AES-CTR, which makes hundreds of megabytes a second.
 */
export class SeededRandom {
  #state: number;
  #streams = 0;
  readonly #key: Buffer;

  constructor(seed: number | string) {
    const digest = createHash('sha256').update(String(seed)).digest();
    this.#state = digest.readUInt32LE(0);
    this.#key = digest.subarray(8, 24);
  }

  /** At least 0, below 1. */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A whole number from `lowest` to `highest`, both included. */
  integer(lowest: number, highest: number): number {
    return lowest + Math.floor(this.fraction() * (highest - lowest + 1));
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.integer(0, from.length - 1)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }

  /** `count` different elements, in random order. */
  sample<T>(from: readonly T[], count: number): T[] {
    const pool = [...from];
    for (let at = 0; at < Math.min(count, pool.length); at++) {
      const other = this.integer(at, pool.length - 1);
      [pool[at], pool[other]] = [pool[other] as T, pool[at] as T];
    }
    return pool.slice(0, count);
  }

  /** A size as sizes of media are spread: many small, few large. */
  lognormal(median: number, sigma: number): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.fraction())) * Math.cos(2 * Math.PI * this.fraction());
    return Math.round(median * Math.exp(sigma * normal));
  }

  hex(digits: number): string {
    let text = '';
    while (text.length < digits) text += this.integer(0, 15).toString(16);
    return text;
  }

  /** Bytes that do not compress and that no other call gives. */
  bytes(length: number): Buffer {
    const counter = Buffer.alloc(16);
    counter.writeUInt32BE(++this.#streams, 0);
    return createCipheriv('aes-128-ctr', this.#key, counter).update(Buffer.alloc(length));
  }
}
