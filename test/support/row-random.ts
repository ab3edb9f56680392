import { SeededRandom } from './seeded-random.ts';

/** Random numbers for rows of a database: one stream for each use, so that tables do not depend on each other. */
export class RowRandom extends SeededRandom {
  constructor(seed: number, stream: string) {
    super(`${seed}:${stream}`);
  }

  below(bound: number): number {
    return Math.floor(this.fraction() * bound);
  }

  /** 32 bits. */
  bits(): number {
    return this.below(2 ** 32);
  }

  /** Zipf-like in [0, bound): small numbers are by far the most frequent. */
  zipf(bound: number): number {
    return Math.min(bound - 1, Math.floor(Math.exp(this.fraction() * Math.log(bound + 1))) - 1);
  }

  hexBytes(bytes: number): string {
    let text = '';
    while (text.length < bytes * 2) text += this.bits().toString(16).padStart(8, '0');
    return text.slice(0, bytes * 2);
  }
}
