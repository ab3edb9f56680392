import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseRows } from '../support/database-rows.ts';
import { searchForLeaks, type Needle } from '../support/leak-search.ts';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { ownerSecrets } from '../support/owner-key.ts';
import { postgresBin, startPostgres, type PostgresServer } from '../support/postgres.ts';
import { SealedWorkbench } from '../support/sealed-workbench.ts';
import { until } from '../support/until.ts';

const hours = 72;
const heldHour = 35;

/**
 * Stands in front of pg_dump and keeps a copy of what it prints. While `hold` exists, the dump stands still in the
 * middle, with `held` to show it.
 */
const teeScript = `set -o pipefail
directory=$1; shift
PATH="${postgresBin}:$PATH"
case " $* " in *" -Fc "*) ;; *) exec "$@" ;; esac
stand_still() {
  if [ -e "$directory/hold" ]; then
    head -c 300000
    touch "$directory/held"
    while [ -e "$directory/hold" ]; do sleep 0.05; done
  fi
  cat
}
"$@" | tee "$directory/printed" | stand_still
`;

describe('a Mastodon-shaped database over 72 hours of churn, sealed every hour', () => {
  let server: PostgresServer;
  let mastodon: MastodonDatabase;
  let sealed: SealedWorkbench;
  let tee: string;
  /** What pg_dump printed and what the database held, by hour; of every tenth only. `at`: when it was durable. */
  const kept = new Map<number, { at: string; printed: Buffer; rows: Map<string, string>; schema: string }>();
  const plaintext: Needle[] = [];
  let secrets: Needle[];

  beforeAll(async () => {
    server = await startPostgres();
    mastodon = await MastodonDatabase.create(server, 'mastodon_production', { seed: 72, statuses: 1000 });
    sealed = await SealedWorkbench.create('hours');
    secrets = await ownerSecrets(sealed.owner);
    expect(secrets.length).toBeGreaterThan(4);
    tee = path.join(sealed.bench.directory, 'tee');
    fs.mkdirSync(tee);
    fs.writeFileSync(path.join(tee, 'tee.sh'), teeScript);
    const prefix = `bash ${tee}/tee.sh ${tee}`;
    await sealed.addFolder('database', '--postgres', mastodon.connection(), '--postgres-exec', prefix);
  });

  afterAll(async () => {
    await sealed.dispose();
    await server.stop();
  });

  const schemaOf = (database: string): string =>
    server
      .run('pg_dump', ['-s', '--no-owner', '-d', server.connection(database)])
      .toString('utf8')
      .replaceAll(/^\\(un)?restrict .*$/gm, '');

  /** Rows of this hour that nothing outside the database may show. */
  function noteRows(): void {
    const texts = server.sql(
      mastodon.name,
      `(select text from statuses where length(text) > 40 order by id desc limit 2)
       union all (select text from statuses where length(text) > 40 order by id limit 2)
       union all (select split_part(private_key, E'\\n', 2) from accounts where private_key <> '' order by id limit 1)
       union all (select encrypted_password from users order by id desc limit 1)`,
    );
    for (const [index, text] of texts
      .split('\n')
      .filter((line) => line.length >= 20)
      .entries()) {
      plaintext.push({ what: `row ${index}`, bytes: Buffer.from(text.slice(0, 60)) });
    }
  }

  /** What there is of the dumps and of secret keys below the directory. */
  function leaksIn(directory: string): string[] {
    const structure = ['PGDMP', 'CREATE TABLE public', 'COPY public.'];
    const needles = [
      ...plaintext,
      ...structure.map((text) => ({ what: text, bytes: Buffer.from(text) })),
      ...secrets,
    ];
    const { leaks, bytes } = searchForLeaks(directory, needles);
    expect(bytes).toBeGreaterThan(10_000);
    return leaks.map(({ file, what, layer }) => `${what} in ${file}, ${layer}`);
  }

  it('makes a version of every hour, each durable on the receiver, and sends little for most', async () => {
    const sent: number[] = [];
    let whole = 0;
    for (let hour = 1; hour <= hours; hour += 1) {
      await mastodon.churn(1);
      if (hour % 12 === 1) noteRows();
      if (hour === heldHour) fs.writeFileSync(path.join(tee, 'hold'), '');
      const dumping = sealed.dump('database');
      if (hour === heldHour) {
        await until('the dump stands still', () => fs.existsSync(path.join(tee, 'held')));
        expect(leaksIn(sealed.bench.agent.home)).toEqual([]);
        fs.rmSync(path.join(tee, 'hold'));
      }
      const version = await dumping;
      const at = new Date().toISOString();
      expect(version.number).toBe(hour);
      if (hour > 1) sent.push(version.sealedBytes);
      else whole = version.sealedBytes;
      if (hour % 10 !== 0) continue;
      const printed = fs.readFileSync(path.join(tee, 'printed'));
      expect(version.plainBytes).toBe(printed.length);
      const rows = databaseRows(server, mastodon.name, 'queried');
      kept.set(hour, { at, printed, rows, schema: schemaOf(mastodon.name) });
    }
    expect(sent.toSorted((a, b) => a - b)[sent.length >> 1]).toBeLessThan(whole / 3);
    expect(sealed.versions('database').map(({ number }) => number)).toEqual(
      Array.from({ length: hours }, (_, index) => index + 1),
    );
    expect((await sealed.bench.agent.status()).alarms).toEqual([]);
  });

  it('gives back every tenth version byte for byte, and row for row in a database', async () => {
    expect(kept.size).toBe(7);
    for (const [hour, { at, printed, rows, schema }] of kept) {
      const to = sealed.target(`hour-${hour}`);
      const args = ['--folder', 'database', '--to', to, '--at', at, '--agent', sealed.bench.agentId];
      const restored = await sealed.restore([...args, ...sealed.withKey]);
      expect(restored.code, restored.stderr).toBe(0);
      expect(restored.stdout).toMatch(
        new RegExp(`version ${hour}, made \\S+Z, received \\S+Z, signed by ${sealed.bench.agentId}`),
      );
      const dump = path.join(to, 'database/database.dump');
      expect(fs.readFileSync(dump).equals(printed), `bytes of hour ${hour}`).toBe(true);
      const copy = `hour_${hour}`;
      server.createDatabase(copy);
      server.run('pg_restore', [
        '--exit-on-error',
        '--no-owner',
        '-j',
        '2',
        '-d',
        server.connection(copy),
        dump,
      ]);
      const found = databaseRows(server, copy, 'held');
      expect([...found.keys()]).toEqual([...rows.keys()]);
      for (const [table, text] of rows) expect(found.get(table), `${table} of hour ${hour}`).toBe(text);
      expect(schemaOf(copy)).toBe(schema);
    }
    const rowsOf = (hour: number): string | undefined => kept.get(hour)?.rows.get('statuses');
    expect(rowsOf(10)).not.toBe(rowsOf(20));
  });

  it('leaves no secret key and nothing of a dump on the server or on the receiver', async () => {
    expect(plaintext.length).toBeGreaterThan(20);
    await sealed.bench.receiver.stop();
    await mastodon.churn(1);
    await sealed.dump('database', 0);
    expect((await sealed.bench.agent.status()).spoolBytes).toBeGreaterThan(0);
    expect(leaksIn(sealed.bench.agent.home)).toEqual([]);
    expect(leaksIn(sealed.bench.receiver.home)).toEqual([]);
    expect(leaksIn(sealed.bench.data)).toEqual([]);
    const log = Buffer.from(sealed.bench.agent.daemon.stderr + sealed.bench.receiver.daemon.stderr);
    for (const { what, bytes } of plaintext) expect(log.includes(bytes), what).toBe(false);
  });

  it('would find them if they were there', () => {
    const dump = fs.readFileSync(path.join(tee, 'printed'));
    const key = fs.readFileSync(sealed.owner.privateFile);
    const file = path.join(sealed.bench.data, 'planted');
    fs.writeFileSync(file, Buffer.concat([Buffer.from('front'), zstdCompressSync(dump)]));
    const found = leaksIn(sealed.bench.data);
    expect(found).toContain('PGDMP in planted, plain > zstd at 5');
    expect(found).toContain('CREATE TABLE public in planted, plain > zstd at 5');
    expect(found.filter((leak) => leak.startsWith('row '))).not.toEqual([]);
    fs.writeFileSync(file, key);
    expect(leaksIn(sealed.bench.data)).toContain('armored secret key in planted, plain');
    fs.writeFileSync(file, execFileSync('gpg', ['--dearmor'], { input: key }));
    expect(leaksIn(sealed.bench.data)).toEqual([
      'secret key packet in planted, plain',
      'secret subkey packet in planted, plain',
    ]);
  });
});
