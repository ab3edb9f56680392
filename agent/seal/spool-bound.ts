import { setTimeout as delay } from 'node:timers/promises';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { chooseEvictions, type Eviction, type SpoolShare } from './spool-policy.ts';

export type SpoolBoundOptions = {
  /** Null: 10 GiB, or a fifth of the free disk where that is less. */
  bytesMax: number | null;
  /** How long a dump waits for room before it fails. */
  waitMsMax: number;
};

export const spoolBoundDefaults: SpoolBoundOptions = { bytesMax: null, waitMsMax: 10 * 60_000 };

/** A folder's part of the spool. */
export type SpoolPart = {
  spoolBytes(): number;
  /** Removes what nobody waits for. */
  settle(): void;
  share(): SpoolShare;
  evict(eviction: Eviction): void;
  /** Of the disk, without what is in the spool. */
  freeBytes(): number;
};

const gib = 1024 ** 3;
const defaultBytesMax = 10 * gib;
const pollMs = 250;

/** Holds the spool of all sealed folders together within its bound. */
export class SpoolBound {
  readonly #now: () => number;
  readonly #options: SpoolBoundOptions;
  readonly #parts = new Set<SpoolPart>();

  constructor(now: () => number, options: SpoolBoundOptions) {
    this.#now = now;
    this.#options = options;
  }

  add(part: SpoolPart): void {
    this.#parts.add(part);
  }

  remove(part: SpoolPart): void {
    this.#parts.delete(part);
  }

  /** What all folders have in the spool. */
  bytes(): number {
    return this.#sum((part) => part.spoolBytes());
  }

  bytesMax(): number {
    const { bytesMax } = this.#options;
    if (bytesMax !== null) return bytesMax;
    const [part] = this.#parts;
    const free = part?.freeBytes() ?? 0;
    return Math.min(defaultBytesMax, Math.floor((free + this.bytes()) / 5));
  }

  /**
   * Resolves when as many more may come into the spool as `bytesNeeded` says then.
   * @throws CodedError SPOOL_FULL after the longest wait, the signal's reason
   */
  async waitForRoom(bytesNeeded: () => number, signal: AbortSignal): Promise<void> {
    const until = this.#now() + this.#options.waitMsMax;
    while (!this.#makeRoom(bytesNeeded())) {
      if (this.#now() >= until) {
        throw this.#fullError(bytesNeeded());
      }
      await delay(pollMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  #fullError(bytesNeeded: number): CodedError {
    const bytesMax = this.bytesMax();
    return bytesNeeded > bytesMax
      ? new CodedError(
          'SPOOL_FULL',
          `the spool may have ${bytesMax} bytes, and what is being sealed needs ${bytesNeeded}`,
          {
            hint: 'allow a larger spool with spool.bytesMax, or free some of the disk',
          },
        )
      : new CodedError(
          'SPOOL_FULL',
          `the spool has reached ${bytesMax} bytes, and no receiver holds any of it yet`,
          { hint: 'connect a receiver, or allow a larger spool with spool.bytesMax' },
        );
  }

  #makeRoom(bytes: number): boolean {
    const excess = (): number => this.bytes() + bytes - this.bytesMax();
    if (excess() <= 0) return true;
    const parts = [...this.#parts];
    for (const part of parts) part.settle();
    const bytesNeeded = excess();
    if (bytesNeeded <= 0) return true;
    const evictions = chooseEvictions(
      parts.map((part) => part.share()),
      bytesNeeded,
      this.#now(),
    );
    if (evictions === null) return false;
    for (const [at, eviction] of evictions.entries()) {
      if (eviction.objects.length > 0) parts[at]?.evict(eviction);
    }
    return true;
  }

  #sum(of: (part: SpoolPart) => number): number {
    return [...this.#parts].reduce((sum, part) => sum + of(part), 0);
  }
}
