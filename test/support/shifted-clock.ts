import fs from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Wall clocks that are wrong, or that run on while nobody waits. Loaded into a program before all else, this module moves what
 * `Date` says by the milliseconds in a file, which is read at each look: so days can pass while the program runs.
 * Timers and `performance.now()` go on as they are, as they do when a clock is set.
 */
const fileVariable = 'MASTOKEEP_TEST_CLOCK';

/** The clock of the programs that are started with `env`. */
export class ShiftedClock {
  readonly env: Record<string, string>;
  readonly #file: string;

  /** Keeps the shift in `file`, at first none. */
  constructor(file: string) {
    this.#file = file;
    this.env = { [fileVariable]: file, NODE_OPTIONS: `--import=${fileURLToPath(import.meta.url)}` };
    this.set(0);
  }

  /** From now on it is so much later (earlier, if negative) for the programs than it is. */
  set(shiftMs: number): void {
    fs.writeFileSync(`${this.#file}.new`, String(shiftMs));
    fs.renameSync(`${this.#file}.new`, this.#file);
  }
}

function shiftThisProcess(file: string): void {
  const RealDate = Date;
  const now = (): number => RealDate.now() + Number(fs.readFileSync(file, 'utf8'));
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as Date,
    get: (target, name, receiver) =>
      name === 'now' ? now : (Reflect.get(target, name, receiver) as unknown),
  });
}

const ownFile = process.env[fileVariable];
if (ownFile !== undefined) shiftThisProcess(ownFile);
