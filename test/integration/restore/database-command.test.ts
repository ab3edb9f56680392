import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { parseAddress } from '../../../shared/link/address.ts';
import { LinkProxy } from '../../support/link-proxy.ts';
import { postgresBin, startPostgres, type PostgresServer } from '../../support/postgres.ts';
import { Program, runCommand } from '../../support/program.ts';
import {
  inviteToRestore,
  type RestoreReceiver,
  startRestoreReceiver,
} from '../../support/restore-receiver.ts';
import { heldFolder } from '../../support/sealed-receiver.ts';
import { createSealedKeys, SealedRestoreBench } from '../../support/sealed-restore-bench.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const mib = 1024 * 1024;
let server: PostgresServer;
let bench: SealedRestoreBench;
let receiver: RestoreReceiver;
let proxy: LinkProxy;
let scratch: string;
let programs: string;
let args: string[];
let round = 0;
let name: string;

beforeAll(async () => {
  server = await startPostgres();
  server.createDatabase('mastodon');
  server.sql(
    'mastodon',
    `create table statuses (id bigint primary key, text text);
     insert into statuses select n, (select string_agg(md5((n * 97 + part)::text), '') from generate_series(1, 8) part)
       from generate_series(1, 12000) n;`,
  );
  bench = new SealedRestoreBench(temporaryDirectory(), await createSealedKeys('owner'), 400_000);
  bench.data.source = 'postgres';
  const content = server.run('pg_dump', ['-Fc', '-Z0', '-d', server.connection('mastodon')]);
  const file = { type: 'file', path: 'mastodon.dump', mode: 0o644, content } as const;
  await bench.data.addVersion([file], '2026-11-21T08:40:00.000Z');
  const { agent } = bench.data;
  const stores = new Map([[agent, new Map([['database', heldFolder(await bench.serve())]])]]);
  receiver = await startRestoreReceiver(bench.directory, stores, { listen: true });
  const { host, port } = parseAddress(receiver.addresses[0] ?? '');
  proxy = await LinkProxy.start({ host, port });
  const from = inviteToRestore(receiver, agent, `127.0.0.1:${proxy.endpoint.port}`);
  scratch = path.join(bench.directory, 'scratch');
  programs = path.join(bench.directory, 'bin');
  fs.mkdirSync(programs);
  args = ['--home', path.join(bench.directory, 'home'), 'restore', '--from', from, '--agent', agent];
  args.push('--key', bench.keyFile, '--key-passphrase-file', bench.passphraseFile);
  args.push('--folder', 'database', '--scratch', scratch);
});

afterAll(async () => {
  await receiver.links.stop();
  await proxy.stop();
  await bench.close();
  await server.stop();
});

beforeEach(() => {
  round += 1;
  name = `restored_${round}`;
  proxy.bytesPerSecond = Number.POSITIVE_INFINITY;
  fs.rmSync(programs, { recursive: true });
  fs.mkdirSync(programs);
});

/** Puts a pg_restore first on the PATH that notes the mode of what it is given and its arguments, then does this. */
function wrapRestore(then: string): { env: Record<string, string>; seen: string } {
  const seen = path.join(bench.directory, `seen-${round}`);
  const script = [
    '#!/bin/sh',
    `case "$*" in *--list*) exec ${postgresBin}/pg_restore "$@";; esac`,
    'for archive; do :; done',
    `stat -c '%a' "$archive" "$(dirname "$archive")/.." > ${seen}`,
    `echo "$*" >> ${seen}`,
    then,
  ];
  fs.writeFileSync(path.join(programs, 'pg_restore'), script.join('\n'), { mode: 0o755 });
  return { env: { PATH: `${programs}:${process.env['PATH'] ?? ''}` }, seen };
}

const intoDatabase = (): string[] => [...args, '--pg-restore', server.connection(name)];
const exists = (): string =>
  server.sql('postgres', `select count(*) from pg_database where datname = '${name}'`);
const leftInScratch = (): string[] => (fs.existsSync(scratch) ? fs.readdirSync(scratch) : []);

it('makes the database from a scratch file that only its owner reads, and removes it', async () => {
  const { env, seen } = wrapRestore(`exec ${postgresBin}/pg_restore "$@"`);
  const ran = await runCommand('agent', [...intoDatabase(), '--jobs', '3'], { env });
  expect(ran.code, ran.stderr).toBe(0);
  expect(server.sql(name, 'select count(*), max(text) from statuses')).toBe(
    server.sql('mastodon', 'select count(*), max(text) from statuses'),
  );
  expect(ran.stdout).toMatch(new RegExp(`database: 1 file, .* restored to ${name}$`, 'm'));
  expect(ran.stderr).toMatch(/\[\d+\/\d+\] TABLE DATA .*statuses/);
  expect(fs.readFileSync(seen, 'utf8').split('\n').slice(0, 2)).toEqual(['600', '700']);
  expect(fs.readFileSync(seen, 'utf8')).toContain(' --jobs=3 ');
  expect(leftInScratch()).toEqual([]);
});

it('fetches nothing for a database that exists', async () => {
  server.createDatabase(name);
  server.sql(name, 'create table mine ()');
  await until('the last run has left', () => proxy.openConnections === 0);
  const before = proxy.bytes.down;
  const ran = await runCommand('agent', intoDatabase());
  expect([ran.code, ran.stderr]).toEqual([3, expect.stringContaining('error RESTORE_CONFLICT') as string]);
  expect(proxy.bytes.down).toBe(before);
  expect(server.sql(name, `select count(*) from pg_tables where tablename = 'mine'`)).toBe('1');
});

it('leaves neither scratch file nor database when pg_restore fails', async () => {
  const { env } = wrapRestore('echo "pg_restore: error: no such extension" >&2; exit 1');
  const ran = await runCommand('agent', intoDatabase(), { env });
  expect([ran.code, ran.stderr]).toEqual([3, expect.stringContaining('no such extension') as string]);
  expect([exists(), leftInScratch()]).toEqual(['0', []]);
});

it.each(['SIGINT', 'SIGTERM'] as const)('leaves neither on %s while pg_restore runs', async (signal) => {
  const { env } = wrapRestore('echo "pg_restore: creating INDEX \\"the index\\"" >&2; exec sleep 600');
  const run = new Program('agent', intoDatabase(), { env });
  await run.said(/pg_restore begins/);
  await until('the database is made', () => {
    expect(run.exitCode, run.report()).toBe(null);
    return exists() === '1';
  });
  expect(await run.stop(signal), run.report()).toBe(130);
  expect([exists(), leftInScratch()]).toEqual(['0', []]);
});

it('leaves no scratch file on SIGINT while the dump comes', async () => {
  proxy.bytesPerSecond = mib / 4;
  const run = new Program('agent', intoDatabase());
  await Promise.race([proxy.passed('down', mib / 4), run.exited]);
  await until('the scratch file is begun', () => leftInScratch().length === 1, {
    explain: () => run.report(),
  });
  expect(fs.statSync(path.join(scratch, leftInScratch()[0] ?? '')).mode & 0o777).toBe(0o700);
  expect(await run.stop('SIGINT'), run.report()).toBe(130);
  expect([exists(), leftInScratch()]).toEqual(['0', []]);
});

it('removes what a killed run left behind', async () => {
  proxy.bytesPerSecond = mib / 4;
  const run = new Program('agent', intoDatabase());
  await Promise.race([proxy.passed('down', mib / 4), run.exited]);
  await until('the scratch file is begun', () => leftInScratch().length === 1, {
    explain: () => run.report(),
  });
  await run.kill();
  expect(leftInScratch()).toHaveLength(1);
  proxy.bytesPerSecond = Number.POSITIVE_INFINITY;
  const ran = await runCommand('agent', intoDatabase());
  expect(ran.code, ran.stderr).toBe(0);
  expect(leftInScratch()).toEqual([]);
});
