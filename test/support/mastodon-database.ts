import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fixedTables } from './mastodon-fixed-rows.ts';
import {
  churnStatements,
  nightlyStatements,
  updatesPerHour,
  updatesPerStatus,
  type ChurnHour,
} from './mastodon-churn.ts';
import { growingTables, MastodonRows } from './mastodon-rows.ts';
import { mastodonIndexesSql } from './mastodon-constraints.ts';
import { mastodonTables, mastodonTablesSql } from './mastodon-schema.ts';
import { postgresBin, type PostgresServer } from './postgres.ts';
import { RowRandom } from './row-random.ts';

export type MastodonDatabaseOptions = {
  seed: number;
  /** Everything else follows: 700,000 statuses make about 850 MB of dump, 2,000 about 2.5 MB. */
  statuses: number;
};

export type ChurnCount = { inserted: number; updated: number; deleted: number };

const hourMs = 3_600_000;
const endOfBaseMs = Date.UTC(2026, 5, 1);
const baseHours = 90 * 24;

/** A database of Mastodon's shape in a test server; equal options make equal rows, and equal churn equal changes. */
export class MastodonDatabase {
  readonly name: string;
  readonly #server: PostgresServer;
  readonly #rows: MastodonRows;
  readonly #options: MastodonDatabaseOptions;
  #statuses: number;
  #hour = 0;

  private constructor(server: PostgresServer, name: string, options: MastodonDatabaseOptions) {
    this.#server = server;
    this.name = name;
    this.#options = options;
    this.#statuses = options.statuses;
    const stepMs = (baseHours * hourMs) / options.statuses;
    this.#rows = new MastodonRows(options.seed, options.statuses, {
      first: 0,
      startMs: endOfBaseMs - baseHours * hourMs,
      stepMs,
    });
  }

  static async create(
    server: PostgresServer,
    name: string,
    options: MastodonDatabaseOptions,
  ): Promise<MastodonDatabase> {
    const database = new MastodonDatabase(server, name, options);
    server.createDatabase(name);
    const statuses = options.statuses;
    const rows = database.#rows;
    await database.#psql(function* () {
      yield mastodonTablesSql(new RowRandom(options.seed, 'salt').hexBytes(16));
      for (const table of growingTables) yield* copyBlock(table, rows.lines(table, 0, statuses));
      for (const table of fixedTables) yield* copyBlock(table, rows.fixedLines(table));
      yield mastodonIndexesSql();
      yield 'vacuum analyze;\n';
    });
    return database;
  }

  /** Rows of the tables that grow, as made; deletions are not counted. */
  get rows(): number {
    return growingTables.reduce((sum, table) => sum + this.#rows.range(table, 0, this.#statuses)[1], 0);
  }

  connection(): string {
    return this.#server.connection(this.name);
  }

  /**
   * Lets hours pass as they do on a server: new statuses with what belongs to them and what they change in older rows;
   * once a day a week-old day of remote media is forgotten, which comes on top. `rate`: share of the rows that an hour
   * inserts, updates or deletes. A database that has just been made needs two days to come to its everyday state: until
   * then all profiles are out of date and no page has gaps.
   */
  async churn(hours: number, rate = 0.004): Promise<ChurnCount> {
    const total: ChurnCount = { inserted: 0, updated: 0, deleted: 0 };
    for (let hour = 0; hour < hours; hour++) {
      const counted = await this.#churnHour(rate);
      total.inserted += counted.inserted;
      total.updated += counted.updated;
      total.deleted += counted.deleted;
    }
    return total;
  }

  async #churnHour(rate: number): Promise<ChurnCount> {
    const startMs = endOfBaseMs + this.#hour * hourMs;
    const random = new RowRandom(this.#options.seed, `churn:${this.#hour}`);
    const budget = Math.round(this.rows * rate) - updatesPerHour;
    const from = this.#statuses;
    const rowsPerStatus = this.rows / this.#statuses;
    const to = from + Math.max(1, Math.round(budget / (rowsPerStatus + updatesPerStatus)));
    this.#rows.segments.push({ first: from, startMs, stepMs: hourMs / (to - from) });
    this.#statuses = to;
    const rows = this.#rows;
    const hour: ChurnHour = { rows, from, to, startMs };
    const nightly = this.#hour % 24 === 4 ? [...nightlyStatements(hour)] : [];
    const said = await this.#psql(function* () {
      yield 'begin;\n';
      for (const table of growingTables) yield* copyBlock(table, rows.lines(table, from, to));
      for (const statement of churnStatements(hour, random)) {
        yield `${statement}\n\\echo ${statement.slice(0, 6)} :ROW_COUNT\n`;
      }
      yield 'commit;\n';
      for (const statement of nightly) yield `${statement}\n\\echo ${statement.slice(0, 6)} :ROW_COUNT\n`;
    });
    this.#hour += 1;
    const inserted = growingTables.reduce((sum, table) => {
      const [first, last] = rows.range(table, from, to);
      return sum + last - first;
    }, 0);
    return {
      inserted,
      updated: sumOf(said, 'update'),
      deleted: Math.round(sumOf(said, 'delete') * rowsPerStatus),
    };
  }

  /** Gives what the script echoed. */
  async #psql(script: () => Generator<string, void, void>): Promise<string> {
    const args = ['-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-d', this.connection(), '-f', '-'];
    const child = spawn(path.join(postgresBin, 'psql'), args, { stdio: 'pipe' });
    let echoed = '';
    let said = '';
    child.stdout.on('data', (piece: Buffer) => (echoed += piece.toString('utf8')));
    child.stderr.on('data', (piece: Buffer) => (said += piece.toString('utf8')));
    child.stdin.on('error', () => {});
    const closed = once(child, 'close') as Promise<[number | null]>;
    for (const piece of script()) {
      if (child.exitCode !== null) break;
      if (!child.stdin.write(piece)) await Promise.race([once(child.stdin, 'drain'), closed]);
    }
    child.stdin.end();
    const [status] = await closed;
    if (status !== 0) throw new Error(`psql failed: ${said.slice(0, 2000)}`);
    return echoed;
  }
}

/** A table as the COPY block of a script, in pieces. */
export function* copyBlock(table: string, lines: Iterable<string>): Generator<string, void, void> {
  const columns = mastodonTables
    .get(table)
    ?.columns.map((column) => `"${column.name}"`)
    .join(', ');
  yield `copy ${table} (${columns}) from stdin;\n`;
  let block = '';
  for (const line of lines) {
    block += `${line}\n`;
    if (block.length > 256 * 1024) {
      yield block;
      block = '';
    }
  }
  yield `${block}\\.\n`;
}

/** Sum of the rows that were echoed for one kind of statement. */
function sumOf(echoed: string, kind: 'update' | 'delete'): number {
  const counts = echoed.matchAll(new RegExp(`^${kind} (\\d+)$`, 'gm'));
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}
