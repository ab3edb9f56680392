import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresSource, type PostgresSourceOptions } from '../../agent/source/postgres-source.ts';
import { isCoded, type CodedError } from '../../shared/errors/coded-error.ts';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { postgresBin, startPostgres, type PostgresServer } from '../support/postgres.ts';
import { takeEntries } from '../support/source-entries.ts';
import { until } from '../support/until.ts';

const password = "pgsource-s3cret 'word\\%";
let server: PostgresServer;
let directory: string;
let mastodon: MastodonDatabase;
let searchPath: string | undefined;

beforeAll(async () => {
  searchPath = process.env['PATH'];
  server = await startPostgres();
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-pgsource-'));
  mastodon = await MastodonDatabase.create(server, 'mastodon_production', { seed: 7, statuses: 1000 });
  server.sql(
    'postgres',
    `create role keeper login password '${password.replaceAll("'", "''")}'; grant pg_read_all_data to keeper`,
  );
});

afterAll(async () => {
  fs.rmSync(directory, { recursive: true, force: true });
  await server.stop();
});

/** A program in a directory of its own. */
function program(name: string, text: string): string {
  const file = path.join(fs.mkdtempSync(path.join(directory, 'bin-')), name);
  fs.writeFileSync(file, text, { mode: 0o755 });
  return file;
}

/** Stands for `docker compose exec`: no variable of ours arrives, and the programs are on its own PATH. */
const containerScript = `#!/bin/sh
exec env -i PATH="${postgresBin}:$PATH" "$@"
`;

async function failureOf(options: Partial<PostgresSourceOptions>): Promise<CodedError> {
  try {
    await takeEntries(new PostgresSource({ connection: mastodon.connection(), ...options }));
  } catch (error) {
    if (isCoded(error)) return error;
    throw error;
  }
  throw new Error('the source did not fail');
}

/** Restores a dump and gives what plain pg_dump prints of the copy and of the original. */
function restored(dump: Buffer, name: string): [string, string] {
  const file = path.join(directory, `${name}.dump`);
  fs.writeFileSync(file, dump);
  server.createDatabase(name);
  server.run('pg_restore', ['--exit-on-error', '-d', server.connection(name), file]);
  const plain = (database: string) => {
    const said = server.run('pg_dump', ['-d', server.connection(database)]).toString('utf8');
    return said.replaceAll(/^\\(un)?restrict .*$/gm, '');
  };
  return [plain(name), plain(mastodon.name)];
}

describe('PostgreSQL as a source', () => {
  it('describes the database', async () => {
    const facts = await new PostgresSource({ connection: mastodon.connection() }).describe();
    expect(facts).toMatchObject({
      kind: 'postgres',
      database: 'mastodon_production',
      schemaMigration: '20251217091936',
    });
    expect(facts.serverVersion).toMatch(/^\d+\.\d+$/);
    expect(facts.dumpVersion).toMatch(/^\d+\.\d+$/);
    expect(facts.databaseBytes).toBeGreaterThan(1_000_000);
    expect(facts.tables.find(({ name }) => name === 'statuses')).toMatchObject({ rows: 1000 });
    server.createDatabase('other');
    const other = await new PostgresSource({ connection: server.connection('other') }).describe();
    expect(other).toMatchObject({ schemaMigration: null, tables: [] });
  });

  it('gives a dump that restores to the same database', async () => {
    const [entry, ...more] = await takeEntries(new PostgresSource({ connection: mastodon.connection() }));
    expect(more).toEqual([]);
    expect(entry).toMatchObject({ path: 'database.dump', kind: 'file', mode: 0o600 });
    const [copy, original] = restored(entry?.content ?? Buffer.alloc(0), 'copy');
    expect(copy).toBe(original);
    expect(copy).toContain('CREATE MATERIALIZED VIEW public.instances');
    expect(copy).toContain('日本語のテキスト 🐘');
    // uncompressed, so that what stays the same can be found again
    expect(entry?.content?.includes('日本語のテキスト 🐘')).toBe(true);
  });

  it('takes a URI, pairs, a service file and the environment, and passwords from a file', async () => {
    const uri = server.uri('mastodon_production', 'keeper', password);
    const pairs = `host=127.0.0.1 port=${server.port} user=keeper dbname=mastodon_production`;
    const passFile = path.join(directory, 'pgpass');
    fs.writeFileSync(passFile, `127.0.0.1:*:*:keeper:${password.replaceAll(/[\\:]/g, '\\$&')}\n`, {
      mode: 0o600,
    });
    const serviceFile = path.join(directory, 'services');
    fs.writeFileSync(serviceFile, `[masto]\n${pairs.replaceAll(' ', '\n')}\npassfile=${passFile}\n`);
    const quoted = password.replaceAll(/['\\]/g, '\\$&');
    for (const connection of [uri, `${pairs} password='${quoted}'`, `${pairs} passfile=${passFile}`]) {
      expect(await takeEntries(new PostgresSource({ connection }))).toHaveLength(1);
    }
    process.env['PGSERVICEFILE'] = serviceFile;
    expect(await takeEntries(new PostgresSource({ connection: 'service=masto' }))).toHaveLength(1);
    process.env['PGSERVICE'] = 'masto';
    expect(await takeEntries(new PostgresSource())).toHaveLength(1);
    delete process.env['PGSERVICE'];
    delete process.env['PGSERVICEFILE'];
  });

  it('fails with the words of the program, without the password', async () => {
    const wrong = await failureOf({ connection: server.uri('mastodon_production', 'keeper', 'wr0ngword') });
    expect(wrong.message).toMatch(/password authentication failed for user "keeper"/);
    expect(JSON.stringify([wrong.message, wrong.hint, wrong.context])).not.toMatch(/wr0ngword/);
    const nowhere = await failureOf({ connection: 'host=127.0.0.1 port=1 dbname=x' });
    expect(nowhere).toMatchObject({ code: 'SOURCE_FAILED' });
    expect(nowhere.message).toMatch(/psql failed with exit status 2: .*refused/s);
    const missing = await failureOf({ connection: server.connection('missing') });
    expect(missing.message).toMatch(/database "missing" does not exist/);
    server.sql(
      'mastodon_production',
      'create role blind login; grant connect on database mastodon_production to blind',
    );
    const blind = await failureOf({
      connection: mastodon.connection().replace('user=postgres', 'user=blind'),
    });
    expect(blind.message).toMatch(/pg_dump failed with exit status 1: .*permission denied/s);
  });

  it('shows the password in no command line, neither here nor behind a prefix', async () => {
    const prefix = program('container', containerScript);
    const seen: string[] = [];
    const watchman = setInterval(() => {
      for (const name of fs.readdirSync('/proc')) {
        if (!/^\d+$/.test(name)) continue;
        try {
          const line = fs.readFileSync(`/proc/${name}/cmdline`, 'utf8');
          if (/pg_dump|psql/.test(line)) seen.push(line);
        } catch {
          // It ended meanwhile.
        }
      }
    }, 2);
    try {
      for (const execPrefix of [null, prefix]) {
        const before = seen.length;
        const source = new PostgresSource({
          connection: server.uri('mastodon_production', 'keeper', password),
          execPrefix,
        });
        for await (const entry of source.entries(new AbortController().signal)) {
          for await (const piece of entry.content ?? []) {
            expect(piece.length).toBeGreaterThan(0);
            await delay(20);
          }
        }
        const lines = seen.slice(before).filter((line) => line.includes('pg_dump\0') && line.includes('-Fc'));
        expect(lines.length).toBeGreaterThan(0);
      }
    } finally {
      clearInterval(watchman);
    }
    for (const line of seen) expect(line).not.toContain('pgsource-s3cret');
  });

  it('runs pg_dump itself at the lowest CPU priority and a low I/O priority', async () => {
    const source = new PostgresSource({ connection: mastodon.connection() });
    const seen: string[] = [];
    for await (const entry of source.entries(new AbortController().signal)) {
      for await (const piece of entry.content ?? []) {
        expect(piece.length).toBeGreaterThan(0);
        if (seen.length === 0) seen.push(...dumpPriorities());
      }
    }
    expect(seen).toEqual(['19 best-effort: prio 7']);
  });

  it('lets it write in larger pieces than it would into a pipe', async () => {
    const log = path.join(directory, 'buffer-log');
    const prefix = program('through', `#!/bin/sh\necho "$1 $2 $_STDBUF_O" >> '${log}'\nexec "$@"\n`);
    await takeEntries(new PostgresSource({ connection: mastodon.connection(), execPrefix: prefix }));
    const lines = fs.readFileSync(log, 'utf8').trim().split('\n');
    expect(lines.at(-1)).toBe('pg_dump --no-password 65536');
  });

  it('describes a database that withholds sizes by a lock, or the migration from its role', async () => {
    const source = new PostgresSource({ connection: mastodon.connection() });
    const locked = await whileTagsAreLocked(async () => source.describe());
    expect(locked).toMatchObject({ schemaMigration: '20251217091936', tables: [] });
    server.sql('postgres', `create role unseeing login`);
    const unseeing = mastodon.connection().replace('user=postgres', 'user=unseeing');
    const seen = await new PostgresSource({ connection: unseeing }).describe();
    expect(seen).toMatchObject({ schemaMigration: null });
    expect(seen.tables.length).toBeGreaterThan(30);
  });

  it('does not take a psql that fails for a database that withholds something', async () => {
    const fails = program(
      'failing',
      '#!/bin/sh\ncase "$*" in *pg_total_relation_size*) echo "the container went away" >&2; exit 137;; esac\nexec "$@"\n',
    );
    const source = new PostgresSource({ connection: mastodon.connection(), execPrefix: fails });
    await expect(source.describe()).rejects.toThrow(
      'psql failed with exit status 137: the container went away',
    );
  });

  it('gives up on a locked table after its time', async () => {
    const source = new PostgresSource({ connection: mastodon.connection(), lockWaitTimeoutMs: 300 });
    const locking = whileTagsAreLocked(async () => takeEntries(source));
    await expect(locking).rejects.toThrow(
      /pg_dump failed with exit status 1: .*timeout.*LOCK TABLE public.tags/s,
    );
  });

  it('ends pg_dump, and the transaction it holds open, when it is cancelled', async () => {
    const abort = new AbortController();
    const sessions = () =>
      server.sql(
        'postgres',
        `select count(*) from pg_stat_activity where application_name = 'mastokeep' and datname = 'mastodon_production'`,
      );
    const held = new PostgresSource({ connection: mastodon.connection() }).entries(abort.signal);
    const { value } = await held.next();
    const content = value?.content?.[Symbol.asyncIterator]();
    await content?.next();
    await until('there is one session', () => sessions() === '1');
    abort.abort();
    await expect(
      (async () => {
        while ((await content?.next())?.done === false);
      })(),
    ).rejects.toThrow(/cancelled/);
    await until('there is none', () => sessions() === '0');
  });
});

/** Of each pg_dump of this database that runs: its nice value, and what ionice says. */
function dumpPriorities(): string[] {
  return fs.readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const words = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (
        words[0]?.endsWith('pg_dump') !== true ||
        !words.some((word) => word.includes(server.socketDirectory))
      )
        return [];
      // after the name in brackets: state is the first field, nice the 17th
      const fields = fs
        .readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      return [`${fields[16]} ${execFileSync('ionice', ['-p', pid]).toString().trim()}`];
    } catch {
      return []; // it ended meanwhile
    }
  });
}

/** Holds an exclusive lock on a table meanwhile. */
async function whileTagsAreLocked<Result>(work: () => Promise<Result>): Promise<Result> {
  const locker = spawn(
    path.join(postgresBin, 'psql'),
    ['-X', '-q', '-d', mastodon.connection(), '-c', `begin; lock table tags; select pg_sleep(600)`],
    { stdio: 'ignore' },
  );
  try {
    const count = `select count(*) from pg_locks where mode = 'AccessExclusiveLock' and relation = 'tags'::regclass`;
    await until('the table is locked', () => server.sql('mastodon_production', count) === '1');
    return await work();
  } finally {
    locker.kill();
    server.sql(
      'postgres',
      `select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()`,
    );
  }
}

describe('PostgreSQL behind an exec prefix', () => {
  it('is dumped through it, with its arguments unchanged', async () => {
    const log = path.join(directory, 'prefix-log');
    const prefix = program(
      'docker',
      `#!/bin/sh\nprintf '%s|' "$@" >> '${log}'; echo >> '${log}'\nshift 5\n${containerScript.split('\n')[1]}\n`,
    );
    const source = new PostgresSource({
      connection: mastodon.connection(),
      execPrefix: `${prefix} compose -f '/srv/my mastodon/compose.yml' exec db`,
    });
    expect((await source.describe()).dumpVersion).toMatch(/^\d+/);
    const [entry] = await takeEntries(source);
    const [copy, original] = restored(entry?.content ?? Buffer.alloc(0), 'copy_by_prefix');
    expect(copy).toBe(original);
    const lines = fs.readFileSync(log, 'utf8').split('\n');
    expect(
      lines.every(
        (line) => line === '' || line.startsWith('compose|-f|/srv/my mastodon/compose.yml|exec|db|'),
      ),
    ).toBe(true);
    expect(lines.some((line) => line.includes('|db|pg_dump|--version|'))).toBe(true);
  });

  it('passes a password on by standard input, and says so when the prefix does not', async () => {
    const connection = server.uri('mastodon_production', 'keeper', password);
    const source = new PostgresSource({ connection, execPrefix: program('container', containerScript) });
    expect(await takeEntries(source)).toHaveLength(1);
    const deaf = program('container', containerScript.replace('"$@"', '"$@" </dev/null'));
    expect((await failureOf({ connection, execPrefix: deaf })).message).toMatch(
      /no password came by standard input/,
    );
  });

  it('fails when the output is cut off, though the exit status is 0', async () => {
    const cutAt = (bytes: number) =>
      program(
        'container',
        `#!/bin/sh\nPATH="${postgresBin}:$PATH"\ncase "$*" in *-Fc*) "$@" 2>/dev/null | head -c ${bytes}; exit 0;; esac\nexec "$@"\n`,
      );
    const whole =
      (await takeEntries(new PostgresSource({ connection: mastodon.connection() })))[0]?.content?.length ?? 0;
    for (const bytes of [1, 5000, whole - 100_000, whole - 1]) {
      const failure = await failureOf({ execPrefix: cutAt(bytes) });
      expect(failure.code).toBe('SOURCE_FAILED');
      expect(failure.message).toMatch(new RegExp(`cut off after ${bytes} bytes`));
    }
    expect((await failureOf({ execPrefix: cutAt(0) })).message).toBe('pg_dump printed nothing');
    const enough = new PostgresSource({ connection: mastodon.connection(), execPrefix: cutAt(whole + 1) });
    expect(await takeEntries(enough)).toHaveLength(1);
  });

  it('fails when a terminal in between changes bytes or mixes messages in', async () => {
    const through = (filter: string) =>
      program(
        'container',
        `#!/bin/sh\nPATH="${postgresBin}:$PATH"\ncase "$*" in *-Fc*) "$@" 2>&1 | ${filter}; exit 0;; esac\nexec "$@"\n`,
      );
    const terminal = await failureOf({ execPrefix: through(String.raw`sed 's/$/\r/'`) });
    expect(terminal.code).toBe('SOURCE_FAILED');
    expect(terminal.hint).toMatch(/docker compose exec needs -T/);
    const mixed = await failureOf({
      execPrefix: through(`(echo 'WARN: the "PG" variable is not set'; cat)`),
    });
    expect(mixed.message).toMatch(/it begins with "WARN: the \\"PG\\" variable is not set"/);
    const script = program(
      'container',
      `#!/bin/sh\nPATH="${postgresBin}:$PATH"\nexec script -qec "$*" /dev/null\n`,
    );
    expect((await failureOf({ execPrefix: script, connection: 'x' })).code).toBe('SOURCE_FAILED');
  });

  it('fails when the prefix does', async () => {
    const failure = await failureOf({
      execPrefix: program('docker', '#!/bin/sh\necho "service db is not running" >&2; exit 1\n'),
    });
    expect(failure.message).toBe('psql failed with exit status 1: service db is not running');
    expect((await failureOf({ execPrefix: '/no/such/docker exec' })).message).toMatch(/No such file/);
  });

  it('refuses a pg_dump that is older than the server, and names both versions', async () => {
    const old = program(
      'container',
      `#!/bin/sh\nPATH="${postgresBin}:$PATH"\ncase "$*" in *--version*) echo 'pg_dump (PostgreSQL) 9.6.24'; exit;; esac\nexec "$@"\n`,
    );
    const failure = await failureOf({ execPrefix: old });
    expect(failure.code).toBe('PG_DUMP_TOO_OLD');
    expect(failure.message).toMatch(/pg_dump 9\.6\.24 cannot dump a PostgreSQL \d+\.\d+ server/);
    await expect(
      new PostgresSource({ connection: mastodon.connection(), execPrefix: old }).describe(),
    ).rejects.toThrow(/9\.6\.24/);
  });

  it('prefers a new enough pg_dump of this machine over an old one on the PATH', async () => {
    const old = program('pg_dump', `#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n`);
    process.env['PATH'] = `${path.dirname(old)}:${searchPath}`;
    try {
      expect(
        (await new PostgresSource({ connection: mastodon.connection() }).describe()).dumpVersion,
      ).not.toBe('9.6.24');
      expect(await takeEntries(new PostgresSource({ connection: mastodon.connection() }))).toHaveLength(1);
    } finally {
      process.env['PATH'] = searchPath;
    }
  });
});
