import fs from 'node:fs';
import { promisify } from 'node:util';

/**
 * Has the disk take what was written to files while more comes, so that a restore waits the less at its end. One file at a
 * time: other work needs the threads that do it.
 */
export class WriteBack {
  readonly #sync: (fd: number) => Promise<void>;
  #underWay: Promise<void> | null = null;

  /** `sync`: resolves when what was written to the file is on the disk. */
  constructor(sync: (fd: number) => Promise<void> = promisify(fs.fdatasync)) {
    this.#sync = sync;
  }

  /**
   * Begins with a file, which must stay open until what is given resolves; null while another one is under way. `onLost`:
   * the disk did not take it, and the kernel says so only once.
   */
  begin(fd: number, onLost: (error: Error) => void): Promise<void> | null {
    if (this.#underWay !== null) return null;
    const underWay = this.#sync(fd)
      .catch(onLost)
      .finally(() => {
        this.#underWay = null;
      });
    this.#underWay = underWay;
    return underWay;
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#underWay;
  }
}
