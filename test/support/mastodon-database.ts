import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { deletableEvery, deletableRemainder, growingTables, MastodonRows } from './mastodon-rows.ts';
import { mastodonIndexesSql, mastodonTables, mastodonTablesSql } from './mastodon-schema.ts';
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
const mediaCohortHours = 7 * 24;

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
      for (const table of MastodonRows.fixedTables) yield* copyBlock(table, rows.fixedLines(table));
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
   * Lets hours pass as they do on a server: new statuses with what belongs to them, counters of their authors and of
   * recent statuses, refreshed profiles, sessions, trends, deletions; once a day the vacuum that forgets a week-old day
   * of remote media. `rate`: share of the rows that an hour inserts, updates or deletes.
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
    const budget = Math.max(20, Math.round(this.rows * rate));
    const from = this.#statuses;
    const rowsPerStatus = this.rows / this.#statuses;
    const to = from + Math.max(1, Math.round((budget * 0.45) / rowsPerStatus));
    this.#rows.segments.push({ first: from, startMs, stepMs: hourMs / (to - from) });
    this.#statuses = to;
    const inserted = growingTables.reduce((sum, table) => {
      const [first, last] = this.#rows.range(table, from, to);
      return sum + last - first;
    }, 0);
    const plan = this.#planUpdates(random, budget, from, to);
    const rows = this.#rows;
    const now = `'${new Date(startMs + hourMs - 1).toISOString()}'::timestamp`;
    const vacuums = this.#hour % 24 === 4;
    const note = rows.words(random, 12);
    await this.#psql(function* () {
      yield 'begin;\n';
      for (const table of growingTables) yield* copyBlock(table, rows.lines(table, from, to));
      yield `update account_stats set statuses_count = statuses_count + 1, last_status_at = ${now}, updated_at = ${now} where account_id in (select account_id from statuses where id >= ${rows.statusId(from)});
        update status_stats set favourites_count = favourites_count + 1, reblogs_count = reblogs_count + (id % 3), updated_at = ${now} where status_id = any('{${plan.statuses.join(',')}}');
        update accounts set last_webfingered_at = ${now}, updated_at = ${now}, note = case when id % 5 = 0 then '<p>${note}</p>' else note end where id = any('{${plan.accounts.join(',')}}');
        update tags set last_status_at = ${now}, updated_at = ${now} where id = any('{${plan.tags.join(',')}}');
        update users set current_sign_in_at = ${now}, sign_in_count = sign_in_count + 1, updated_at = ${now} where id = any('{${plan.users.join(',')}}');
        update session_activations set updated_at = ${now} where user_id = any('{${plan.users.join(',')}}');
        update oauth_access_tokens set last_used_at = ${now} where resource_owner_id = any('{${plan.users.join(',')}}');
        update markers set last_read_id = ${rows.statusId(from)}, lock_version = lock_version + 1, updated_at = ${now} where user_id = any('{${plan.users.join(',')}}');
        update status_trends set score = score * 0.9; update tag_trends set score = score * 0.9;
        delete from statuses where id = any('{${plan.deleted.join(',')}}');
        commit;\n`;
      if (vacuums) {
        const cohort = `created_at >= ${now} - interval '${mediaCohortHours + 24} hours' and created_at < ${now} - interval '${mediaCohortHours} hours'`;
        yield `update media_attachments set file_file_name = null, file_content_type = null, file_file_size = null, file_updated_at = ${now}, updated_at = ${now} where remote_url <> '' and ${cohort};
          delete from tombstones where ${cohort};
          refresh materialized view account_summaries; refresh materialized view instances;
          vacuum analyze;\n`;
      }
    });
    this.#hour += 1;
    const updated =
      to - from + plan.statuses.length + plan.accounts.length + plan.tags.length + 6 * plan.users.length;
    return { inserted, updated, deleted: Math.round(plan.deleted.length * rowsPerStatus) };
  }

  #planUpdates(random: RowRandom, budget: number, from: number, to: number) {
    // Different rows: the same one is picked often where few are popular, so there are tries to spare.
    const many = <Item>(share: number, make: () => Item): Item[] => {
      const wanted = Math.ceil(budget * share);
      const picked = new Set<Item>();
      for (let attempt = 0; attempt < wanted * 4 && picked.size < wanted; attempt++) picked.add(make());
      return [...picked];
    };
    const accounts = this.#rows.range('accounts', 0, from)[1];
    return {
      // Every second status has counters, and the newest are liked most.
      statuses: many(0.35, () => this.#rows.statusId(Math.max(0, (to - 1 - random.zipf(to)) & ~1))),
      accounts: many(0.05, () => this.#rows.accountId(random.below(accounts))),
      tags: many(0.03, () => random.zipf(this.#rows.tags) + 1),
      users: many(0.005, () => random.below(this.#rows.locals) + 1),
      deleted: many(0.003, () =>
        this.#rows.statusId(
          random.below(Math.max(1, Math.floor(from / deletableEvery))) * deletableEvery + deletableRemainder,
        ),
      ),
    };
  }

  async #psql(script: () => Generator<string, void, void>): Promise<void> {
    const args = ['-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-d', this.connection(), '-f', '-'];
    const child = spawn(path.join(postgresBin, 'psql'), args, { stdio: ['pipe', 'ignore', 'pipe'] });
    let said = '';
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
  }
}

function* copyBlock(table: string, lines: Iterable<string>): Generator<string, void, void> {
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
