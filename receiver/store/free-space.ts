import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Disk, DiskPath } from '../../shared/io/disk.ts';

const refreshAfterMs = 1000;

/** Refuses writes that would take the disk below its free-space floor; asks the system at most once a second. */
export class FreeSpace {
  readonly #disk: Disk;
  readonly #path: DiskPath;
  readonly #floorFraction: number;
  #askedAt = Number.NEGATIVE_INFINITY;
  #spareBytes = 0;
  #floorBytes = 0;

  constructor({ disk }: { disk: Disk }, { path, floorFraction }: { path: DiskPath; floorFraction: number }) {
    this.#disk = disk;
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
    if (this.#spareBytes - bytes < 0 || performance.now() - this.#askedAt > refreshAfterMs) this.#ask();
    if (this.#spareBytes - bytes < 0) throw this.#full(bytes);
  }

  /** The journal may use half of the floor, so that deletions and metadata still arrive. @throws CodedError STORE_FULL */
  assertRoomForJournal(): void {
    if (performance.now() - this.#askedAt > refreshAfterMs) this.#ask();
    if (this.#spareBytes < -this.#floorBytes / 2) throw this.#full(0);
  }

  #ask(): void {
    const { totalBytes, freeBytes } = this.#disk.space(this.#path);
    this.#floorBytes = totalBytes * this.#floorFraction;
    this.#spareBytes = freeBytes - this.#floorBytes;
    this.#askedAt = performance.now();
  }

  #full(wantedBytes: number): CodedError {
    const percent = Math.round(this.#floorFraction * 100);
    const what =
      wantedBytes === 0
        ? `the disk has less than ${percent} % free`
        : `${wantedBytes} bytes more would leave less than ${percent} % of the disk free`;
    return new CodedError('STORE_FULL', what, {
      hint: 'free some space or move the data directory to a larger disk; nothing that is stored was removed',
      context: { floorBytes: this.#floorBytes, spareBytes: this.#spareBytes, wantedBytes },
    });
  }
}
