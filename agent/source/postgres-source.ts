import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import { CustomArchiveWalker } from './custom-archive-walker.ts';
import { PostgresPrograms, type PostgresAccess } from './postgres-programs.ts';
import { processOutput, type ProcessLimits, type ProcessPlan } from './source-process.ts';
import type { PostgresFacts, Source, SourceEntry, TableFacts } from './source.ts';
import { streamedFile } from './streamed-file.ts';

export type PostgresSourceOptions = PostgresAccess & {
  /** Name of the dump in the version. */
  fileName: string;
  /** How long pg_dump waits for a lock on a table before it gives up. */
  lockWaitTimeoutMs: number;
  limits: Partial<ProcessLimits>;
};

const defaults: PostgresSourceOptions = {
  connection: null,
  execPrefix: null,
  fileName: 'database.dump',
  lockWaitTimeoutMs: 60_000,
  limits: {},
};

const factsSql = `select json_build_object(
  'serverVersion', split_part(current_setting('server_version'), ' ', 1),
  'database', current_database(),
  'databaseBytes', pg_database_size(current_database()),
  'migrationsTable', to_regclass('schema_migrations')::text)`;

const tablesSql = `select coalesce(json_agg(json_build_object('name', name, 'bytes', bytes, 'rows', rows)), '[]') from (
  select case when n.nspname = 'public' then c.relname else n.nspname || '.' || c.relname end as name,
    coalesce(pg_total_relation_size(c.oid), 0) as bytes, greatest(c.reltuples, 0)::bigint as rows
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema')
  order by 2 desc, 1 limit 1000) as t`;

/**
 * One custom-format dump of a PostgreSQL database, uncompressed, so that what stays the same can be found again. Its
 * framing is walked to the end: truncated output with exit status 0, as programs in between can give, is a failure.
 * @throws CodedError CONFIG_INVALID
 */
export class PostgresSource implements Source {
  readonly #programs: PostgresPrograms;
  readonly #options: PostgresSourceOptions;
  /** What `describe` found a moment ago, for the next `entries`. */
  #dumpProgram: string | null = null;

  constructor(options: Partial<PostgresSourceOptions> = {}) {
    this.#options = { ...defaults, ...options };
    this.#programs = new PostgresPrograms(this.#options);
  }

  async describe(signal: AbortSignal = new AbortController().signal): Promise<PostgresFacts> {
    const facts = await this.#basicFacts(signal);
    const [dump, schemaMigration, tables] = await Promise.all([
      this.#programs.findDump(facts.serverVersion, signal),
      this.#schemaMigration(facts.migrationsTable, signal),
      this.#tables(signal),
    ]);
    this.#dumpProgram = dump.program;
    return {
      kind: 'postgres',
      serverVersion: facts.serverVersion,
      dumpVersion: dump.version,
      database: facts.database,
      databaseBytes: facts.databaseBytes,
      schemaMigration,
      tables,
    };
  }

  async *entries(signal: AbortSignal): AsyncGenerator<SourceEntry, void, void> {
    const program = await this.#takeDumpProgram(signal);
    const plan = this.#programs.connecting(program, 'pg_dump', [
      '-Fc',
      '-Z0',
      `--lock-wait-timeout=${this.#options.lockWaitTimeoutMs}`,
    ]);
    yield* streamedFile(this.#options.fileName, 'the dump', this.#archive(plan, signal));
  }

  async *#archive(plan: ProcessPlan, signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
    const walker = new CustomArchiveWalker();
    const { limits } = this.#options;
    for await (const piece of processOutput({ ...plan, largeBuffer: true }, signal, limits)) {
      walker.push(piece);
      yield piece;
    }
    walker.finish();
  }

  /** A database that runs changes all the time: nothing cheap tells that it did not. */
  fingerprint(): Promise<null> {
    return Promise.resolve(null);
  }

  async #basicFacts(signal: AbortSignal) {
    const answer = await this.#programs.query(factsSql, signal);
    return parseAnswer(answer) as {
      serverVersion: string;
      database: string;
      databaseBytes: number;
      migrationsTable: string | null;
    };
  }

  async #takeDumpProgram(signal: AbortSignal): Promise<string> {
    const found = this.#dumpProgram;
    this.#dumpProgram = null;
    if (found !== null) return found;
    const { serverVersion } = await this.#basicFacts(signal);
    return (await this.#programs.findDump(serverVersion, signal)).program;
  }

  /** null also where the role may not read the table: the dump itself will say so. */
  async #schemaMigration(table: string | null, signal: AbortSignal): Promise<string | null> {
    if (table === null) return null;
    const answer = await this.#programs
      .query(`select 'top', max(version) from ${table}`, signal)
      .catch(withheld);
    return answer?.split('|')[1] || null;
  }

  /** Empty where a table is locked for a migration just now: sizes are only for information. */
  async #tables(signal: AbortSignal): Promise<TableFacts[]> {
    const answer = await this.#programs.query(tablesSql, signal).catch(withheld);
    return answer === null ? [] : (parseAnswer(answer) as TableFacts[]);
  }
}

/** SQLSTATEs, since a server speaks its own language: lock_not_available, query_canceled (for time), insufficient_privilege. */
const withheldStates = /: +(55P03|57014|42501): /;

/** Null for what the server withholds: by a lock, for time, or from this role. @throws what else went wrong */
function withheld(error: unknown): null {
  if (isCoded(error, 'SOURCE_FAILED') && withheldStates.test(error.message)) return null;
  throw error;
}

function parseAnswer(answer: string): unknown {
  try {
    return JSON.parse(answer);
  } catch (error) {
    throw new CodedError('SOURCE_FAILED', `psql printed ${JSON.stringify(answer.slice(0, 200))}`, {
      hint: 'the exec prefix must pass output on unchanged: docker compose exec needs -T',
      cause: error,
    });
  }
}
