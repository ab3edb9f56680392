import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PostgresSource } from '../../agent/source/postgres-source.ts';
import { databaseRows } from '../support/database-rows.ts';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { postgresBin, startPostgres, type PostgresServer } from '../support/postgres.ts';
import { takeEntries } from '../support/source-entries.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** Stands for the user that the agent runs as. */
const user = process.getuid?.() === 0 ? 'nobody' : os.userInfo().username;
const asUser =
  process.getuid?.() === 0 ? `setpriv --reuid=${user} --regid=nogroup --clear-groups` : '/usr/bin/env';
const readme = fs.readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
let server: PostgresServer;
let mastodon: MastodonDatabase;

beforeAll(async () => {
  // only who sets the cluster up comes in without proof
  server = await startPostgres([], 'local all postgres trust\nlocal all all peer');
  mastodon = await MastodonDatabase.create(server, 'mastodon_production', { seed: 3, statuses: 200 });
});

afterAll(async () => {
  await server.stop();
});

/** Runs the line of README.md that begins so, as on a machine where the agent has that user. */
function runFromReadme(begin: string): void {
  const line = readme.split('\n').find((each) => each.startsWith(begin)) ?? '';
  expect(line, `README.md has a line "${begin}…"`).not.toBe('');
  const command = line.replace('sudo -u postgres ', '').replaceAll('mastokeep-agent', user);
  execFileSync('sh', ['-c', command], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      PATH: `${postgresBin}:${process.env['PATH'] ?? ''}`,
      PGHOST: server.socketDirectory,
      PGPORT: String(server.port),
      PGUSER: 'postgres',
    },
  });
}

const source = (): PostgresSource =>
  new PostgresSource({
    connection: `host=${server.socketDirectory} port=${server.port} dbname=${mastodon.name}`,
    execPrefix: `${asUser} env PATH=${postgresBin}:/usr/bin:/bin`,
  });

it('dumps by peer authentication as the role that README.md makes, which can read all and write nothing', async () => {
  await expect(takeEntries(source())).rejects.toThrow(new RegExp(`role "${user}" does not exist`));
  runFromReadme('sudo -u postgres createuser ');
  await expect(takeEntries(source())).rejects.toThrow(
    /pg_dump failed with exit status 1: .*permission denied/s,
  );
  runFromReadme('sudo -u postgres psql ');
  const [entry] = await takeEntries(source());
  const file = `${temporaryDirectory()}/dump`;
  fs.writeFileSync(file, entry?.content ?? '');
  server.createDatabase('copy');
  server.run('pg_restore', ['--exit-on-error', '--no-owner', '-d', server.connection('copy'), file]);
  expect(databaseRows(server, 'copy', 'held')).toEqual(databaseRows(server, mastodon.name, 'queried'));

  const write = (sql: string) => () => server.sql(mastodon.name, `set role "${user}"; ${sql}`);
  expect(write('delete from statuses')).toThrow(/permission denied/);
  expect(write('create table mine ()')).toThrow(/permission denied/);
  const attributes = 'rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls';
  expect(server.sql('postgres', `select ${attributes} from pg_roles where rolname = '${user}'`)).toBe('f');
});

it('does not take the word of another user for it', async () => {
  const other = source();
  const fake = new PostgresSource({
    connection: `host=${server.socketDirectory} port=${server.port} user=${user}2 dbname=${mastodon.name}`,
    execPrefix: `${asUser} env PATH=${postgresBin}:/usr/bin:/bin`,
  });
  server.sql('postgres', `create role "${user}2" login; grant pg_read_all_data to "${user}2"`);
  await expect(takeEntries(fake)).rejects.toThrow(/Peer authentication failed for user/);
  expect(await takeEntries(other)).toHaveLength(1);
});
