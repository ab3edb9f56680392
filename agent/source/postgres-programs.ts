import { CodedError } from '../../shared/errors/coded-error.ts';
import { installedPrograms } from '../postgres/installed-programs.ts';
import { parsePostgresConnection } from '../postgres/postgres-connection.ts';
import { parseShellWords } from './shell-words.ts';
import { readProcess, type ProcessPlan } from './source-process.ts';

export type PostgresAccess = {
  /** URI, `keyword=value` pairs (`service=…` too) or database name, as libpq takes it; null: libpq's environment variables. */
  connection: string | null;
  /** Words put in front of pg_dump and psql: `docker compose -f FILE exec -T db`. null: they run on this machine. */
  execPrefix: string | null;
};

const answerTimeoutMs = 60_000;

/**
 * The programs pg_dump and psql, on this machine or behind an exec prefix. A password out of the connection string
 * goes to libpq by the environment variable PGPASSWORD; behind a prefix, where no variable of ours arrives, a small
 * `sh` there reads it from standard input. So it is on no command line, in no file and in no log.
 */
export class PostgresPrograms {
  readonly #prefix: readonly string[];
  readonly #connection: string | null;
  readonly #password: string | null;

  /** @throws CodedError CONFIG_INVALID */
  constructor(access: PostgresAccess) {
    const connection = parsePostgresConnection(access.connection);
    this.#connection = connection.text;
    this.#password = connection.password;
    this.#prefix = access.execPrefix === null ? [] : parseShellWords(access.execPrefix);
  }

  /** The plan for one run of a program that connects to the database. */
  connecting(program: string, label: string, args: readonly string[]): ProcessPlan {
    const target = this.#connection === null ? [] : [`--dbname=${this.#connection}`];
    return this.#plan(label, [program, '--no-password', ...target, ...args], this.#password);
  }

  /**
   * The lines that a query prints, fields parted by a vertical bar; read only, a second of patience for locks.
   * @throws CodedError SOURCE_FAILED; its message has the SQLSTATE, as psql prints it
   */
  async query(sql: string, signal: AbortSignal): Promise<string> {
    const psql = this.#prefix.length > 0 ? 'psql' : (installedPrograms('psql')[0] ?? 'psql');
    const args = ['-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose'];
    const settings = 'set lock_timeout = 1000; set statement_timeout = 60000';
    const plan = this.connecting(psql, 'psql', [...args, '-c', settings, '-c', sql.replaceAll(/\s+/g, ' ')]);
    const answer = (await readProcess(plan, signal, answerTimeoutMs)).trim();
    if (answer === '') throw new CodedError('SOURCE_FAILED', 'psql printed nothing');
    return answer;
  }

  /**
   * The pg_dump to use for a server of that version: the first one that is not older.
   * @throws CodedError PG_DUMP_TOO_OLD, SOURCE_FAILED (there is none)
   */
  async findDump(serverVersion: string, signal: AbortSignal): Promise<{ program: string; version: string }> {
    const candidates = this.#prefix.length > 0 ? ['pg_dump'] : installedPrograms('pg_dump');
    let newest: string | null = null;
    for (const program of candidates) {
      const printed = await readProcess(
        this.#plan('pg_dump', [program, '--version'], null),
        signal,
        answerTimeoutMs,
      );
      const version = /^pg_dump \(PostgreSQL\) (\d+\S*)/m.exec(printed)?.[1];
      if (version === undefined) {
        throw new CodedError(
          'SOURCE_FAILED',
          `pg_dump --version printed ${JSON.stringify(printed.slice(0, 200))}`,
        );
      }
      if (majorVersion(version) >= majorVersion(serverVersion)) return { program, version };
      if (newest === null || majorVersion(version) > majorVersion(newest)) newest = version;
    }
    if (newest === null) {
      throw new CodedError('SOURCE_FAILED', 'no pg_dump was found on this machine', {
        hint: 'install the package postgresql-client, or reach the one in a container by --postgres-exec',
      });
    }
    throw new CodedError(
      'PG_DUMP_TOO_OLD',
      `pg_dump ${newest} cannot dump a PostgreSQL ${serverVersion} server`,
      {
        hint: `install postgresql-client-${majorVersion(serverVersion)}, or use the server's own pg_dump by --postgres-exec`,
        context: { dumpVersion: newest, serverVersion },
      },
    );
  }

  #plan(label: string, command: readonly string[], password: string | null): ProcessPlan {
    const environment: Record<string, string> = { PGAPPNAME: 'mastokeep', LC_MESSAGES: 'C' };
    const secrets = password === null ? [] : [password];
    if (password !== null && this.#prefix.length > 0) {
      const argv = [...this.#prefix, 'sh', '-c', readPasswordScript, 'mastokeep', ...command];
      return { label, argv, environment, secrets, input: `${password}\n` };
    }
    if (password !== null) environment['PGPASSWORD'] = password;
    return { label, argv: [...this.#prefix, ...command], environment, secrets, input: null };
  }
}

const readPasswordScript = [
  'IFS= read -r PGPASSWORD || {',
  'echo "no password came by standard input: the exec prefix must pass it on (docker exec needs -i)" >&2; exit 1; }',
  'export PGPASSWORD; exec "$@" </dev/null',
].join('\n');

/** `15` of `15.14`, `16` of `16beta1`. */
function majorVersion(version: string): number {
  return Number.parseInt(version, 10);
}
