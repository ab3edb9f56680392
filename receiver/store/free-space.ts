import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Disk, DiskPath } from '../../shared/io/disk.ts';

const refreshAfterMs = 1000;

type Deps = {
  disk: Disk;
  /** Removes what is only kept to save a transfer, until so many bytes are free or there is no more of it. */
  giveUp: (bytes: number) => void;
};

/**
 * Refuses writes that would take the disk below its free-space floor, once partial content has given way; asks the
 * system at most once a second.
 */
export class FreeSpace {
  readonly #deps: Deps;
  readonly #path: DiskPath;
  readonly #floorFraction: number;
  #askedAt = Number.NEGATIVE_INFINITY;
  #spareBytes = 0;
  #floorBytes = 0;

  constructor(deps: Deps, { path, floorFraction }: { path: DiskPath; floorFraction: number }) {
    this.#deps = deps;
    this.#path = path;
    this.#floorFraction = floorFraction;
  }

  /** Takes so many bytes. @throws CodedError STORE_FULL */
  take(bytes: number): void {
    this.assertRoom(bytes);
    this.#spareBytes -= bytes;
  }

  /** @throws CodedError STORE_FULL when so many bytes more would go below the floor. */
  assertRoom(bytes: number): void {
    if (!this.#hasRoom(bytes, 0)) throw this.#full(bytes);
  }

  /** The journal may use half of the floor, so that deletions and metadata still arrive. @throws CodedError STORE_FULL */
  assertRoomForJournal(): void {
    if (!this.#hasRoom(0, 0.5)) throw this.#full(0);
  }

  /** Whether so many bytes more leave the floor alone, but for that share of it. */
  #hasRoom(bytes: number, shareOfFloor: number): boolean {
    const lacking = (): number => bytes - this.#spareBytes - this.#floorBytes * shareOfFloor;
    if (lacking() > 0 || performance.now() - this.#askedAt > refreshAfterMs) this.#ask();
    if (lacking() <= 0) return true;
    this.#deps.giveUp(lacking());
    this.#ask();
    return lacking() <= 0;
  }

  #ask(): void {
    const { totalBytes, freeBytes } = this.#deps.disk.space(this.#path);
    this.#floorBytes = totalBytes * this.#floorFraction;
    this.#spareBytes = freeBytes - this.#floorBytes;
    this.#askedAt = performance.now();
  }

  #full(wantedBytes: number): CodedError {
    const percent = Math.round(this.#floorFraction * 100);
    const what =
      wantedBytes === 0
        ? `the disk has less than ${percent} % free`
        : `${formatByteSize(wantedBytes)} more would leave less than ${percent} % of the disk free`;
    return new CodedError('STORE_FULL', what, {
      hint: 'free some space or move the data directory to a larger disk; nothing that is stored was removed',
      context: { floorBytes: this.#floorBytes, spareBytes: this.#spareBytes, wantedBytes },
    });
  }
}
