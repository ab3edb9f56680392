import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { databaseRows } from '../support/database-rows.ts';
import { Device, type Agent } from '../support/device.ts';
import { GpgHome } from '../support/gpg-home.ts';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { postgresBin, startPostgres, type PostgresServer } from '../support/postgres.ts';
import { Workbench } from '../support/workbench.ts';

const hours = 3;
const readme = fs.readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
let server: PostgresServer;
let mastodon: MastodonDatabase;
let bench: Workbench;
let gpg: GpgHome;
let dumps: string;
/** What the database held at each hour, and when its dumps were durable on the receiver. */
const kept: { at: string; rows: Map<string, string>; plain: number }[] = [];

/** Runs a shell line as an admin who has the programs of PostgreSQL on the PATH and a gpg home. */
function shell(line: string): void {
  execFileSync('bash', ['-o', 'pipefail', '-c', line], {
    cwd: bench.directory,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      PATH: `${postgresBin}:${process.env['PATH'] ?? ''}`,
      GNUPGHOME: gpg.directory,
      PGHOST: server.socketDirectory,
      PGPORT: String(server.port),
      PGUSER: 'postgres',
    },
  });
}

/** The job that admins have today: a whole dump every hour, encrypted by gpg, moved to its name when it is whole. */
function dumpByHand(): void {
  const fresh = path.join(bench.directory, 'new');
  const encrypt = `gpg --batch --trust-model always -e -r owner@example.org > ${fresh}`;
  shell(`pg_dump ${mastodon.name} | gzip | ${encrypt} && mv ${fresh} ${dumps}/dump.sql.gz.gpg`);
  shell(`pg_dump -Fc ${mastodon.name} | ${encrypt} && mv ${fresh} ${dumps}/mastodon.dump.gpg`);
}

beforeAll(async () => {
  server = await startPostgres();
  mastodon = await MastodonDatabase.create(server, 'mastodon', { seed: 11, statuses: 200 });
  bench = await Workbench.create('by-hand', { receiverListens: true });
  gpg = new GpgHome();
  gpg.generateKey('owner@example.org', 'rsa3072');
  dumps = path.join(bench.directory, 'dumps');
  fs.mkdirSync(dumps);
  await bench.agent.must(['folder', 'add', 'dumps', '--kind', 'mirror', '--path', dumps]);
  await bench.startPaired();
  for (let hour = 0; hour < hours; hour += 1) {
    await mastodon.churn(1);
    dumpByHand();
    await bench.settled();
    const rows = databaseRows(server, mastodon.name, 'queried');
    const plain = fs.statSync(path.join(dumps, 'dump.sql.gz.gpg')).size;
    kept.push({ at: new Date().toISOString(), rows, plain });
  }
});

afterAll(async () => {
  gpg.remove();
  await bench.dispose();
  await server.stop();
});

it('keeps every hour of a dump that is moved into a mirror folder as a version', async () => {
  for (const name of ['dump.sql.gz.gpg', 'mastodon.dump.gpg']) {
    const listed = await bench.receiver.must(['versions', 'dumps', name, '--json']);
    const { versions } = JSON.parse(listed) as { versions: { size: number; current: boolean }[] };
    expect(versions.map(({ current }) => current)).toEqual([true, false, false]);
    if (name === 'dump.sql.gz.gpg')
      expect(versions.map(({ size }) => size)).toEqual(kept.map(({ plain }) => plain).toReversed());
  }
});

it('brings any of them back into a working database by the lines of README.md, from plain SQL and from -Fc', async () => {
  const begin = readme.indexOf('**Dumps that you make yourself**');
  const [sql = '', custom = ''] = [...readme.slice(begin).matchAll(/^```sh\n(.*?)^```$/gms)].map(
    ([, lines = '']) => lines,
  );
  expect(sql).toMatch(/gpg -d .*gunzip \| psql/);
  expect(custom).toMatch(/gpg -d .*[^]*pg_restore/);
  const restorer: Agent = new Device('agent', path.join(bench.directory, 'restorer'));
  const invitation = await bench.receiver.invite(['--role', 'restore', '--agent', bench.agentId]);
  for (const [hour, { at, rows }] of kept.entries()) {
    const to = path.join(bench.directory, `restored-${hour}`);
    await restorer.must(['restore', '--from', invitation, '--folder', 'dumps', '--at', at, '--to', to]);
    for (const [kind, lines] of [
      ['sql', sql],
      ['custom', custom],
    ] as const) {
      const database = `${kind}_${hour}`;
      const script = lines.replaceAll('/srv/restored', to).replaceAll('mastodon_production', database);
      shell(`set -e\n${script}`);
      const found = databaseRows(server, database, 'held');
      expect([...found.keys()]).toEqual([...rows.keys()]);
      for (const [table, text] of rows) expect(found.get(table), `${table}, ${database}`).toBe(text);
    }
  }
});
