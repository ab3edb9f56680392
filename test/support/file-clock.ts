import fs from 'node:fs';
import path from 'node:path';

/**
 * The clock of a directory's file system, by a file that it leaves there: it may tick every few milliseconds only. The file
 * stays open, so that it serves a process that has become another user as well.
 */
export class FileClock {
  readonly #fd: number;

  constructor(directory: string) {
    this.#fd = fs.openSync(path.join(directory, 'tick'), 'w');
  }

  /** Returns when files get later times than before. */
  awaitTick(): void {
    const before = this.#time();
    while (this.#time() === before);
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  #time(): bigint {
    fs.writeSync(this.#fd, 'x', 0);
    return fs.fstatSync(this.#fd, { bigint: true }).ctimeNs;
  }
}

/** Returns when the file system of the directory gives later times than before. */
export function awaitFileClock(directory: string): void {
  const clock = new FileClock(directory);
  clock.awaitTick();
  clock.close();
}
