import fs from 'node:fs';
import * as z from 'zod';
import { systemErrorCode } from '../../shared/errors/coded-error.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import {
  advanceClock,
  clockGap,
  resumeClock,
  type ClockGap,
  type RetentionClock,
} from './retention-clock.ts';

const fileSchema = z.strictObject({ nowMs: z.int().min(0) });

type Deps = {
  /** ms since 1970 by the wall clock. */
  wallNow: () => number;
  /** ms, never going back. */
  steadyNow: () => number;
};

/** What is known of the clock at a start. */
type Found = { clock: RetentionClock | null; isDamaged: boolean };

/**
 * The retention clock of a receiver, which goes on where it stood across restarts. The file also has it as its own time of
 * change: where what is in it cannot be read, the clock goes on from there, and a person is asked.
 * @see docs/storage-format.md#retention-clock
 */
export class KeptClock {
  readonly #deps: Deps;
  readonly #file: string;
  #isDamaged: boolean;
  #clock: RetentionClock;
  #steadyMs: number;

  /** Where the file is missing, the wall clock is believed once. @throws a system error where it cannot be read */
  constructor(deps: Deps, options: { file: string }) {
    this.#deps = deps;
    this.#file = options.file;
    const { clock, isDamaged } = readClock(options.file, deps.wallNow());
    this.#isDamaged = isDamaged;
    this.#clock = resumeClock(clock, deps.wallNow());
    this.#steadyMs = deps.steadyNow();
  }

  nowMs(): number {
    const steadyMs = this.#deps.steadyNow();
    this.#clock = advanceClock(this.#clock, this.#deps.wallNow(), steadyMs - this.#steadyMs);
    this.#steadyMs = steadyMs;
    return Math.floor(this.#clock.nowMs);
  }

  /** How far the wall clock is from it; null while both agree to a day. */
  gap(): ClockGap | null {
    return clockGap({ nowMs: this.nowMs() }, this.#deps.wallNow());
  }

  /** The damaged file, as long as a person has not removed it; null: there is none. */
  damagedFile(): string | null {
    const aside = damagedName(this.#file);
    return this.#isDamaged || fs.existsSync(aside) ? aside : null;
  }

  /** Durable when it returns. A damaged file is put aside. */
  store(): void {
    const nowMs = this.nowMs();
    if (this.#isDamaged) fs.renameSync(this.#file, damagedName(this.#file));
    this.#isDamaged = false;
    writeFileAtomic(this.#file, `${JSON.stringify({ nowMs })}\n`, 0o640);
    fs.utimesSync(this.#file, nowMs / 1000, nowMs / 1000);
  }
}

function readClock(file: string, wallMs: number): Found {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    // killed after the damaged file was put aside, and before a new one was written
    return { clock: lastChange(damagedName(file), wallMs), isDamaged: false };
  }
  try {
    return { clock: fileSchema.parse(JSON.parse(text)), isDamaged: false };
  } catch {
    return { clock: lastChange(file, wallMs), isDamaged: true };
  }
}

/** Never ahead of the wall clock: whoever edits the file makes its time of change that. */
function lastChange(file: string, wallMs: number): RetentionClock | null {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  return stat === undefined ? null : { nowMs: Math.min(Math.floor(stat.mtimeMs), wallMs) };
}

function damagedName(file: string): string {
  return `${file}.damaged`;
}
