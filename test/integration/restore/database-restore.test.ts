import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkDatabase, restoreDatabase } from '../../../agent/restore/database-restore.ts';
import { parsePostgresTarget } from '../../../agent/restore/postgres-target.ts';
import { makeScratch } from '../../../agent/restore/scratch.ts';
import { postgresBin, startPostgres, type PostgresServer } from '../../support/postgres.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

let server: PostgresServer;
let directory: string;
let archive: string;
const never = new AbortController().signal;
const quiet = { note: () => {}, signal: never };
const counts =
  'select (select count(*) from accounts), (select count(*) from statuses), (select max(text) from statuses)';

beforeAll(async () => {
  server = await startPostgres();
  directory = temporaryDirectory();
  archive = path.join(directory, 'dump');
  server.createDatabase('mastodon');
  server.sql(
    'mastodon',
    `create role mastodon;
     create table accounts (id bigint primary key, name text);
     create table statuses (id bigserial primary key, account_id bigint not null references accounts, text text);
     create index on statuses (account_id);
     create materialized view names as select name from accounts;
     alter table statuses owner to mastodon;
     insert into accounts select n, 'name ' || n from generate_series(1, 500) n;
     insert into statuses (account_id, text) select 1 + n % 500, 'été 🐘 ' || n from generate_series(1, 5000) n;
     refresh materialized view names;`,
  );
  // through a pipe, as it was sealed: without offsets
  const dump = `"$1/pg_dump" -Fc -Z0 -d "$2" | cat >"$3"`;
  execFileSync('sh', ['-c', dump, 'sh', postgresBin, server.connection('mastodon'), archive]);
});

afterAll(async () => {
  await server.stop();
  fs.rmSync(directory, { recursive: true });
});

it.each([1, 4])('makes a database and restores a dump into it with %s jobs', async (jobs) => {
  const notes: string[] = [];
  const name = `restored_${jobs}`;
  const target = parsePostgresTarget(`${server.connection('x').replace('dbname=x', '')} dbname='${name}'`);
  const deps = { note: (line: string) => void notes.push(line), signal: never };
  const { entries } = await restoreDatabase(deps, archive, target, jobs);
  expect(entries).toBeGreaterThan(10);
  expect(server.sql(name, counts)).toBe(server.sql('mastodon', counts));
  expect(server.sql(name, `select tableowner from pg_tables where tablename = 'statuses'`)).toBe('postgres');
  const told = notes.join('\n');
  expect(told).toMatch(/\[\d+\/\d+\] TABLE DATA .*statuses/);
  expect(told).toContain('foreign keys are being checked');
});

it('makes it of template0, whatever somebody has put into template1', async () => {
  server.sql('template1', 'create table accounts (stray int)');
  try {
    await restoreDatabase(quiet, archive, parsePostgresTarget(server.connection('clean')), 1);
  } finally {
    server.sql('template1', 'drop table accounts');
  }
  expect(server.sql('clean', counts)).toBe(server.sql('mastodon', counts));
});

it('refuses a database that exists, before and after the dump has come, and leaves it alone', async () => {
  const target = parsePostgresTarget(server.connection('mastodon'));
  await expect(checkDatabase(target)).rejects.toMatchObject({ code: 'RESTORE_CONFLICT' });
  await expect(restoreDatabase(quiet, archive, target, 2)).rejects.toMatchObject({
    code: 'RESTORE_CONFLICT',
  });
  expect(server.sql('mastodon', 'select count(*) from statuses')).toBe('5000');
});

it('leaves no database behind when the dump is damaged', async () => {
  const damaged = path.join(directory, 'damaged');
  const bytes = fs.readFileSync(archive);
  fs.writeFileSync(damaged, bytes.subarray(0, Math.floor(bytes.length * 0.7)));
  const target = parsePostgresTarget(server.connection('half'));
  await expect(restoreDatabase(quiet, damaged, target, 2)).rejects.toMatchObject({
    code: 'RESTORE_INCOMPLETE',
  });
  expect(server.sql('postgres', `select count(*) from pg_database where datname = 'half'`)).toBe('0');
});

it('stops at the first thing that cannot be made, tells it, and leaves no database behind', async () => {
  server.createDatabase('extended');
  server.sql(
    'extended',
    'create extension file_fdw; create table after_it as select 1 as one; create index on after_it (one)',
  );
  const extended = path.join(directory, 'extended');
  server.runInto(extended, 'pg_dump', ['-Fc', '-d', server.connection('extended')]);
  server.sql('postgres', 'create role maker login createdb');
  const notes: string[] = [];
  const target = parsePostgresTarget(server.connection('made').replace('user=postgres', 'user=maker'));
  const deps = { note: (line: string) => void notes.push(line), signal: never };
  await expect(restoreDatabase(deps, extended, target, 1)).rejects.toMatchObject({
    code: 'RESTORE_INCOMPLETE',
    message: expect.stringMatching(/dropped again: .*permission denied to create extension/s) as string,
    hint: expect.stringContaining('an extension') as string,
  });
  expect(notes.join('\n')).not.toContain('after_it');
  expect(server.sql('postgres', `select count(*) from pg_database where datname = 'made'`)).toBe('0');
});

it('finds out first that no database can be made', async () => {
  const odd = server.connection('x').replace('dbname=x', `dbname='it\\'s new'`);
  await checkDatabase(parsePostgresTarget(odd));
  server.sql('postgres', 'create role nobody login');
  const asNobody = server.connection('new').replace('user=postgres', 'user=nobody');
  await expect(checkDatabase(parsePostgresTarget(asNobody))).rejects.toMatchObject({
    code: 'TARGET_UNUSABLE',
    message: expect.stringContaining('may not make databases') as string,
  });
  const nowhere = `host=${directory} dbname=new`;
  await expect(checkDatabase(parsePostgresTarget(nowhere))).rejects.toMatchObject({
    code: 'TARGET_UNUSABLE',
    message: expect.stringContaining('cannot be reached') as string,
  });
});

it('drops the database again when it is interrupted in the middle', async () => {
  const target = parsePostgresTarget(server.connection('interrupted'));
  const interrupted = new AbortController();
  const note = (line: string): void => {
    if (line.includes('TABLE DATA')) interrupted.abort();
  };
  await expect(
    restoreDatabase({ note, signal: interrupted.signal }, archive, target, 1),
  ).rejects.toMatchObject({
    code: 'RESTORE_INCOMPLETE',
    message: 'interrupted; the database was dropped again',
  });
  expect(server.sql('postgres', `select count(*) from pg_database where datname = 'interrupted'`)).toBe('0');
});

it('gives a password to the programs without writing it anywhere', async () => {
  server.sql('postgres', `create role restorer login createdb password 'p@ss word'`);
  server.sql('postgres', 'grant all on database postgres to restorer');
  const target = parsePostgresTarget(server.uri('by_password', 'restorer', 'p@ss word'));
  expect(target).toMatchObject({ database: 'by_password', password: 'p@ss word' });
  expect(target.connection + target.maintenance).not.toContain('p%40ss');
  await restoreDatabase(quiet, archive, target, 2);
  expect(server.sql('by_password', counts)).toBe(server.sql('mastodon', counts));
});

describe('parsePostgresTarget', () => {
  it.each([
    ['mastodon', 'mastodon', 'dbname=postgres'],
    ['dbname=a host=/run', 'a', 'dbname=postgres host=/run'],
    ["host=/run dbname='it\\'s'", "it's", "host='/run' dbname=postgres"],
    ['postgresql://u@h:1/a%20b?sslmode=require', 'a b', 'postgresql://u@h:1/postgres?sslmode=require'],
  ])('finds the database in %s', (text, database, maintenance) => {
    const target = parsePostgresTarget(text);
    expect(target.database).toBe(database);
    expect(target.maintenance.replaceAll("'/run'", '/run')).toBe(maintenance.replaceAll("'/run'", '/run'));
  });

  it.each(['', 'host=/run', 'postgresql://h/'])('wants a database to be named: "%s"', (text) => {
    expect(() => parsePostgresTarget(text)).toThrow(expect.objectContaining({ code: 'USAGE' }) as Error);
  });
});

it('keeps what lies in the scratch directory to its owner, and removes it', () => {
  const scratch = makeScratch(directory);
  expect(fs.statSync(scratch.directory).mode & 0o777).toBe(0o700);
  fs.writeFileSync(path.join(scratch.directory, 'dump'), 'x');
  const other = makeScratch(directory);
  expect(fs.existsSync(scratch.directory)).toBe(true);
  other.remove();
  scratch.remove();
  expect(fs.existsSync(scratch.directory)).toBe(false);
});

it('removes scratch directories of runs that were killed, and nothing else', () => {
  const ended = spawnSync('true').pid;
  for (const name of [
    `mastokeep-restore-${ended}-abcdef`,
    `mastokeep-restore-${ended}-`,
    'mastokeep-restore-x',
  ]) {
    fs.mkdirSync(path.join(directory, name));
  }
  fs.writeFileSync(path.join(directory, `mastokeep-restore-${ended}-abcdef/dump`), 'x');
  makeScratch(directory).remove();
  const left = fs.readdirSync(directory).filter((name) => name.startsWith('mastokeep-restore-'));
  expect(left.sort()).toEqual([`mastokeep-restore-${ended}-`, 'mastokeep-restore-x']);
});
