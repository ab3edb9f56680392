import fs from 'node:fs';
import path from 'node:path';
import { copyBlock } from '../support/mastodon-database.ts';
import { growingTables, MastodonRows, type GrowingTable } from '../support/mastodon-rows.ts';
import { mastodonTablesSql } from '../support/mastodon-schema.ts';
import { RowRandom } from '../support/row-random.ts';

const hourMs = 3_600_000;
const statuses = 12_000;
const [newStatuses, changedRows] = [30, 40];

/** What `pg_dump` would print of a small Mastodon database, in a file that changes like a database does. */
export class SampleDatabase {
  readonly dumpFile: string;
  readonly #rows: MastodonRows;
  readonly #random: RowRandom;
  readonly #lines = new Map<GrowingTable, string[]>();

  constructor(dumpFile: string, seed: number) {
    this.dumpFile = dumpFile;
    this.#random = new RowRandom(seed, 'sample');
    const startMs = Date.now() - 90 * 24 * hourMs;
    this.#rows = new MastodonRows(seed, statuses, {
      first: 0,
      startMs,
      stepMs: (90 * 24 * hourMs) / statuses,
    });
    for (const table of growingTables) this.#lines.set(table, [...this.#rows.lines(table, 0, statuses)]);
    this.#write();
  }

  /** Some new statuses with what belongs to them, and counters of old ones. */
  passAnHour(): { statuses: number; counters: number } {
    for (const table of growingTables) {
      this.#lines.get(table)?.push(...this.#rows.lines(table, statuses, statuses + newStatuses));
    }
    const counters = this.#lines.get('status_stats') ?? [];
    for (let changed = 0; changed < changedRows; changed++) {
      const at = this.#random.below(counters.length);
      const columns = counters[at]?.split('\t') ?? [];
      counters[at] = [columns[0], Number(columns[1]) + 1, ...columns.slice(2)].join('\t');
    }
    this.#write();
    return { statuses: newStatuses, counters: changedRows };
  }

  #write(): void {
    fs.mkdirSync(path.dirname(this.dumpFile), { recursive: true });
    const file = fs.openSync(this.dumpFile, 'w');
    fs.writeSync(file, mastodonTablesSql('0123456789abcdef'));
    for (const table of growingTables) {
      for (const block of copyBlock(table, this.#lines.get(table) ?? [])) fs.writeSync(file, block);
    }
    fs.closeSync(file);
  }
}
