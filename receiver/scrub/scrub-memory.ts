import fs from 'node:fs';
import { systemErrorCode } from '../../shared/errors/coded-error.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { scrubStateSchema, type ScrubState } from './scrub-state.ts';

/**
 * How far the scrub is, as a file beside the copies. Lost or damaged, everything counts as not read.
 * @see docs/storage-format.md#scrub
 */
export class ScrubMemory {
  readonly #file: string;

  constructor({ file }: { file: string }) {
    this.#file = file;
  }

  /** @throws a system error where the file cannot be read */
  read(): ScrubState | null {
    let text: string;
    try {
      text = fs.readFileSync(this.#file, 'utf8');
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return null;
      throw error;
    }
    try {
      return scrubStateSchema.parse(JSON.parse(text));
    } catch {
      return null;
    }
  }

  /** Durable when it returns. @throws a system error */
  write(state: ScrubState): void {
    writeFileAtomic(this.#file, `${JSON.stringify(state)}\n`, 0o640);
  }
}
