import { CodedError } from '../../shared/errors/coded-error.ts';
import { installedPrograms } from '../postgres/installed-programs.ts';
import { EntryProgress } from './entry-progress.ts';
import { runPostgres } from './postgres-command.ts';
import type { PostgresTarget } from './postgres-target.ts';

const remindIntervalMs = 5000;

type Deps = {
  note: (line: string) => void;
  /** Ends it: the database is dropped again. */
  signal: AbortSignal;
};

/**
 * Looks whether the database can be made, before anything is fetched for it.
 * @throws CodedError RESTORE_CONFLICT (it exists), TARGET_UNUSABLE (no connection, or no right to make one)
 */
export async function checkDatabase(target: PostgresTarget): Promise<void> {
  const { database, maintenance } = target;
  const name = `'${database.replaceAll("'", "''")}'`;
  const query =
    `select exists(select from pg_database where datname = ${name}), ` +
    '(select rolsuper or rolcreatedb from pg_roles where rolname = current_user)';
  const psql = ['psql', '-X', '-A', '-t', '-w', `--dbname=${maintenance}`, '-c', query] as const;
  const { exitCode, output, words } = await runPostgres(local(psql), target);
  if (exitCode !== 0) {
    throw new CodedError('TARGET_UNUSABLE', `the PostgreSQL server cannot be reached: ${words}`, {
      hint: 'the connection must be allowed for the database "postgres" as well, which the new one is made from',
    });
  }
  const [exists, mayCreate] = output.trim().split('|');
  if (exists === 't') throw databaseExists(database);
  if (mayCreate !== 't') {
    throw new CodedError('TARGET_UNUSABLE', `the role may not make databases, so not ${database} either`, {
      hint: 'connect as another role, or as a superuser: alter role NAME createdb',
    });
  }
}

/**
 * Makes the database from `template0` and restores the archive (`pg_dump -Fc`) into it, with owners left out. Progress
 * by entry of the archive's table of contents. A database that could not be restored whole is dropped again.
 * @returns how many entries there were
 * @throws CodedError RESTORE_CONFLICT (it exists), RESTORE_INCOMPLETE with the program's own last words, TARGET_UNUSABLE
 */
export async function restoreDatabase(
  { note, signal }: Deps,
  archive: string,
  target: PostgresTarget,
  jobs: number,
): Promise<{ entries: number }> {
  const { database, maintenance, connection } = target;
  const { program, entries } = await findRestore(archive, target);
  const created = await runPostgres(
    local(['createdb', '-w', '-T', 'template0', `--maintenance-db=${maintenance}`, '--', database]),
    target,
    { signal },
  );
  if (created.exitCode !== 0) {
    if (created.words.includes('already exists')) throw databaseExists(database);
    throw new CodedError('RESTORE_INCOMPLETE', `database ${database} could not be made: ${created.words}`);
  }
  const progress = new EntryProgress({ note }, entries);
  const reminding = setInterval(() => progress.remind(), remindIntervalMs);
  const options = [
    '-w',
    '--no-owner',
    '--exit-on-error',
    '--verbose',
    `--jobs=${jobs}`,
    `--dbname=${connection}`,
  ];
  const restored = await runPostgres([program, ...options, archive], target, {
    signal,
    onLine: (line) => progress.take(line),
  }).finally(() => clearInterval(reminding));
  if (restored.exitCode === 0 && !signal.aborted) return { entries };
  const dropped = await runPostgres(
    local(['dropdb', '-w', '--if-exists', `--maintenance-db=${maintenance}`, '--', database]),
    target,
  );
  const left =
    dropped.exitCode === 0
      ? 'the database was dropped again'
      : `what is there of the database could not be dropped: ${dropped.words}`;
  if (signal.aborted) throw new CodedError('RESTORE_INCOMPLETE', `interrupted; ${left}`);
  throw new CodedError('RESTORE_INCOMPLETE', `pg_restore failed, and ${left}: ${restored.words}`, {
    hint: 'an extension that the database uses may be missing on this server; see what pg_restore says',
  });
}

/** The first pg_restore that can read the archive: one that is older than the pg_dump that made it may not. */
async function findRestore(
  archive: string,
  target: PostgresTarget,
): Promise<{ program: string; entries: number }> {
  const candidates = installedPrograms('pg_restore');
  let words = '';
  for (const program of candidates.length > 0 ? candidates : ['pg_restore']) {
    const listing = await runPostgres([program, '--list', archive], target);
    if (listing.exitCode === 0) {
      const entries = listing.output.split('\n').filter((line) => /^\d+;/.test(line)).length;
      return { program, entries };
    }
    words ||= listing.words;
  }
  throw new CodedError('RESTORE_INCOMPLETE', `pg_restore cannot read the dump: ${words}`, {
    hint: 'a dump of a newer PostgreSQL needs its client: install a newer package postgresql-client',
  });
}

function local([program, ...args]: readonly [string, ...string[]]): [string, ...string[]] {
  return [installedPrograms(program)[0] ?? program, ...args];
}

function databaseExists(database: string): CodedError {
  return new CodedError('RESTORE_CONFLICT', `database ${database} exists already`, {
    hint: 'drop or rename it first, or restore into one of another name',
  });
}
