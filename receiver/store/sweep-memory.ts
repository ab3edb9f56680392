import type Database from 'better-sqlite3';
import * as z from 'zod';
import type { KeptInterval } from '../retention/needed-contents.ts';

const moment = z
  .string()
  .regex(/^\d{1,19}$/)
  .transform(BigInt);
const stateSchema = z.strictObject({
  floorDays: z.number(),
  longestMs: z.number(),
  agedUntil: z.number(),
  kept: z.array(z.strictObject({ from: moment, to: moment })),
});

/** What a sweep has looked at: every version replaced until `agedUntil` (ms), while those points were kept, by those rules. */
export type SweepState = { floorDays: number; longestMs: number; agedUntil: number; kept: KeptInterval[] };

/**
 * What the last whole sweep over the versions of a mirror folder looked at. In the folder's database and lost with it:
 * the next sweep looks at everything then.
 */
export class SweepMemory {
  readonly #read: Database.Statement;
  readonly #write: Database.Statement;
  readonly #forget: Database.Statement;

  constructor(database: Database.Database) {
    this.#read = database.prepare(`SELECT value FROM meta WHERE key = 'sweep'`);
    this.#write = database.prepare(`INSERT OR REPLACE INTO meta (key, value) VALUES ('sweep', ?)`);
    this.#forget = database.prepare(`DELETE FROM meta WHERE key = 'sweep'`);
  }

  /** Null where there was none, or nothing is known of it. */
  read(): SweepState | null {
    const row = this.#read.get() as { value: string } | undefined;
    return row === undefined ? null : stateSchema.parse(JSON.parse(row.value));
  }

  /** Durable when it returns. */
  write({ kept, ...rest }: SweepState): void {
    const moments = kept.map(({ from, to }) => ({ from: `${from}`, to: `${to}` }));
    this.#write.run(JSON.stringify({ ...rest, kept: moments }));
  }

  forget(): void {
    this.#forget.run();
  }
}
