import fs from 'node:fs';
import * as z from 'zod';
import { systemErrorCode } from '../../shared/errors/coded-error.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { advanceClock, resumeClock, type RetentionClock } from './retention-clock.ts';

const fileSchema = z.strictObject({ nowMs: z.int().min(0) });

type Deps = {
  /** ms since 1970 by the wall clock. */
  wallNow: () => number;
  /** ms, never going back. */
  steadyNow: () => number;
};

/**
 * The retention clock of a receiver, which goes on where it stood across restarts.
 * @see docs/storage-format.md#retention-clock
 */
export class KeptClock {
  readonly #deps: Deps;
  readonly #file: string;
  #clock: RetentionClock;
  #steadyMs: number;

  /** Where the file is missing or damaged, the wall clock is believed once. @throws a system error where it cannot be read */
  constructor(deps: Deps, options: { file: string }) {
    this.#deps = deps;
    this.#file = options.file;
    this.#clock = resumeClock(readClock(options.file), deps.wallNow());
    this.#steadyMs = deps.steadyNow();
  }

  nowMs(): number {
    const steadyMs = this.#deps.steadyNow();
    this.#clock = advanceClock(this.#clock, this.#deps.wallNow(), steadyMs - this.#steadyMs);
    this.#steadyMs = steadyMs;
    return Math.floor(this.#clock.nowMs);
  }

  /** Durable when it returns. */
  store(): void {
    writeFileAtomic(this.#file, `${JSON.stringify({ nowMs: this.nowMs() })}\n`, 0o640);
  }
}

function readClock(file: string): RetentionClock | null {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
