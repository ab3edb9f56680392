import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Disk, DiskPath } from '../../shared/io/disk.ts';

/**
 * The directory of an open store. A disk can vanish below it (unmounted, unplugged) and another directory can come into
 * its place; files that are open are still those of the old one then.
 */
export class StorePlace {
  readonly #disk: Disk;
  readonly #root: DiskPath;
  readonly #identity: string | null;

  /** Remembers which directory is there now. */
  constructor({ disk }: { disk: Disk }, root: DiskPath) {
    this.#disk = disk;
    this.#root = root;
    this.#identity = disk.stat(root)?.identity ?? null;
  }

  /** Whether it is still there. Asks for what the kernel remembers, so it wakes no disk. */
  isThere(): boolean {
    return this.#identity !== null && this.#disk.stat(this.#root)?.identity === this.#identity;
  }

  /** @throws CodedError DISK_FAILED */
  assertThere(): void {
    if (this.isThere()) return;
    const shown = Buffer.from(this.#root, 'latin1').toString('utf8');
    throw new CodedError('DISK_FAILED', `${shown} has vanished while it was in use`, {
      hint: 'is the disk mounted?',
    });
  }
}
