import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { postgresBin, startPostgres, type PostgresServer } from '../support/postgres.ts';
import { SealedWorkbench } from '../support/sealed-workbench.ts';
import { until } from '../support/until.ts';

const password = 'hunter2-in-the-dump';

describe('a source that does not give all', () => {
  let server: PostgresServer;
  let mastodon: MastodonDatabase;
  let sealed: SealedWorkbench;
  let scripts: string;

  beforeAll(async () => {
    server = await startPostgres();
    mastodon = await MastodonDatabase.create(server, 'mastodon_production', { seed: 9, statuses: 500 });
    sealed = await SealedWorkbench.create('sources');
    scripts = path.join(sealed.bench.directory, 'scripts');
    fs.mkdirSync(scripts);
    // looked at last, when its minute has passed
    const minutely = ['--schedule', '* * * * *', '--command', 'date'];
    await sealed.bench.agent.must(['folder', 'add', 'minutely', '--kind', 'sealed', ...minutely]);
  });

  afterAll(async () => {
    await sealed.dispose();
    await server.stop();
  });

  /** A prefix that runs this in place of the dump itself, with the dump's words as "$@". */
  function insteadOfDump(name: string, text: string): string[] {
    const file = path.join(scripts, `${name}.sh`);
    const others = 'case " $* " in *" -Fc "*) ;; *) exec "$@" ;; esac';
    fs.writeFileSync(file, `#!/bin/bash\nPATH="${postgresBin}:$PATH"\n${others}\n${text}\n`, { mode: 0o755 });
    return ['--postgres', mastodon.connection(), '--postgres-exec', file];
  }

  it.each<[string, () => string[], RegExp]>([
    [
      'command-fails',
      () => ['--command', 'echo half; echo "redis: LOADING dataset in memory" >&2; exit 3'],
      /the command failed with exit status 3: redis: LOADING dataset in memory/,
    ],
    [
      'pipe-fails',
      () => ['--command', '(echo half; echo "tar: short read" >&2; exit 2) | gzip'],
      /exit status 2: tar: short read/,
    ],
    ['command-killed', () => ['--command', 'echo half; kill -9 $$'], /the command was killed by SIGKILL/],
    ['nothing', () => ['--command', 'true'], /the command printed nothing/],
    [
      'dump-fails',
      () =>
        insteadOfDump('dump-fails', 'echo "pg_dump: error: the server closed the connection" >&2; exit 1'),
      /pg_dump failed with exit status 1: pg_dump: error: the server closed the connection/,
    ],
    [
      'dump-killed',
      () => insteadOfDump('dump-killed', '"$@" | { head -c 400000; kill -9 $$; }'),
      /pg_dump was killed by SIGKILL/,
    ],
    [
      'cut-off',
      () => insteadOfDump('cut-off', '"$@" | head -c 400000; exit 0'),
      /cut off after 400000 bytes/,
    ],
    [
      'no-archive',
      () => insteadOfDump('no-archive', 'echo "service db is not running"'),
      /not an archive.*service db is not running/,
    ],
    ['dump-of-nothing', () => insteadOfDump('dump-of-nothing', 'exit 0'), /pg_dump printed nothing/],
    ['gone', () => ['--path', path.join(scripts, 'there-at-first')], /there-at-first cannot be read: ENOENT/],
    [
      'server-gone',
      () => ['--postgres', 'host=/no/such/directory dbname=mastodon_production'],
      /psql failed with exit status 2: [^]*No such file or directory/,
    ],
  ])('makes no version and is told in status: %s', async (id, source, words) => {
    fs.writeFileSync(path.join(scripts, 'there-at-first'), '');
    await sealed.addFolder(id, ...source());
    fs.rmSync(path.join(scripts, 'there-at-first'));
    const dumped = await sealed.bench.agent.run(['dump', id]);
    expect(dumped.code).toBe(1);
    expect(dumped.stderr).toMatch(/^error SOURCE_FAILED: /m);
    expect(dumped.stderr).toMatch(words);
    const status = await sealed.bench.agent.status();
    const folder = status.folders.find((each) => each.id === id);
    expect(folder).toMatchObject({ state: 'idle', lastVersionAt: null });
    expect(folder?.reason).toMatch(words);
    const alarm = status.alarms.find(({ message }) => message.startsWith(`folder ${id}: `));
    expect(alarm?.code).toBe('DUMP_FAILED');
    expect(alarm?.message).toMatch(words);
    expect(fs.existsSync(sealed.held(id)) ? sealed.versions(id) : []).toEqual([]);
  });

  it('is told by status in words for people as well', async () => {
    const text = await sealed.bench.agent.must(['status']);
    expect(text).toMatch(/^nothing\s+idle: the last dump failed: the command printed nothing {2}/m);
    expect(text).toMatch(
      /^alarm DUMP_FAILED .*folder cut-off: the dump of \S+ failed: [^]*?cut off after 400000[^]*?; there is no version of it$/m,
    );
  });

  it('leaves the versions before it alone, and is forgotten by the next good one', async () => {
    const gate = path.join(scripts, 'cut');
    const source = insteadOfDump('sometimes', `if [ -e ${gate} ]; then "$@" | head -c 300000; else "$@"; fi`);
    await sealed.addFolder('sometimes', ...source);
    await sealed.dump('sometimes');
    fs.writeFileSync(gate, '');
    expect((await sealed.bench.agent.run(['dump', 'sometimes'])).code).toBe(1);
    expect(sealed.versions('sometimes').map(({ number }) => number)).toEqual([1]);
    fs.rmSync(gate);
    await sealed.dump('sometimes');
    expect(sealed.versions('sometimes').map(({ number }) => number)).toEqual([1, 2]);
    const status = await sealed.bench.agent.status();
    expect(status.folders.find(({ id }) => id === 'sometimes')?.reason).toBe(null);
    expect(status.alarms.filter(({ message }) => message.includes('sometimes'))).toEqual([]);
    const to = sealed.target('sometimes');
    const args = ['--folder', 'sometimes', '--to', to, ...sealed.withKey];
    expect((await sealed.restore(args)).stdout).toContain('version 2, made ');
    expect(server.run('pg_restore', ['--list', `${to}/sometimes/database.dump`]).toString()).toContain(
      'statuses',
    );
  });

  it('has its password in no command line, log, status or error', async () => {
    server.sql(
      'postgres',
      `create role keeper login password '${password}'; grant pg_read_all_data to keeper`,
    );
    // ends when its command line was seen
    const gate = path.join(scripts, 'seen');
    const wait = `while [ ! -e ${gate} ]; do sleep 0.05; done`;
    const slow = insteadOfDump('password', `"$@" | { head -c 200000; ${wait}; cat; }`).slice(2);
    const uri = server.uri(mastodon.name, 'keeper', password);
    await sealed.addFolder('password', '--postgres', uri, ...slow);
    const seen = new Set<string>();
    const dumping = sealed.dump('password');
    const watch = setInterval(() => commandLines().forEach((line) => seen.add(line)), 5);
    // other test files dump at the same time
    const ownLines = (): string[] =>
      [...seen].filter((line) => line.includes('-Fc') && line.includes(`${server.port}`));
    try {
      await until('the dump runs', () => ownLines().length > 0);
      fs.writeFileSync(gate, '');
      await dumping;
    } finally {
      clearInterval(watch);
    }
    const lines = ownLines();
    for (const line of lines) expect(line).toContain('--lock-wait-timeout=');
    for (const line of seen) expect(line).not.toContain(password);

    server.sql('postgres', `alter role keeper password 'another one'`);
    const failed = await sealed.bench.agent.run(['dump', 'password']);
    expect(failed.stderr).toMatch(/password authentication failed for user "keeper"/);
    const status = await sealed.bench.agent.must(['status', '--json']);
    const log = sealed.bench.agent.daemon.stderr;
    expect(log).toMatch(/password authentication failed/);
    for (const said of [failed.stderr, failed.stdout, status, log]) expect(said).not.toContain(password);
  });

  it('is not dumped while the agent is paused', async () => {
    await sealed.bench.agent.must(['pause', '--for', '6h']);
    const refused = await sealed.bench.agent.run(['dump', 'sometimes']);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^error FOLDER_PAUSED: /m);
    await sealed.bench.agent.must(['resume']);
    await sealed.dump('sometimes');
  });

  it('is dumped by the clock of a real agent', async () => {
    await until(
      'a version by schedule',
      () => fs.existsSync(sealed.held('minutely')) && sealed.versions('minutely').length > 0,
      { timeoutMs: 180_000, everyMs: 500, explain: () => sealed.bench.report() },
    );
  });
});

/** Of every process that runs. */
function commandLines(): string[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [fs.readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ')];
      } catch {
        return []; // it ended meanwhile
      }
    });
}
