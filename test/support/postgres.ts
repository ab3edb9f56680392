import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePort } from './link-proxy.ts';
import { until } from './until.ts';

/** Programs of the newest installed PostgreSQL; Debian keeps them off the PATH. */
export const postgresBin = findPostgresBin();

/** A PostgreSQL server for one test file: data in a temporary directory, nothing synced, trusted on its socket. */
export type PostgresServer = {
  socketDirectory: string;
  port: number;
  /** Connection string by socket, as the superuser `postgres`. */
  connection(database: string): string;
  /** URI by TCP on 127.0.0.1, where passwords are asked for. */
  uri(database: string, user: string, password: string): string;
  /** What psql prints for these statements (unaligned, rows only). */
  sql(database: string, statements: string): string;
  createDatabase(name: string): void;
  /** What one of PostgreSQL's programs prints. */
  run(program: string, args: readonly string[]): Buffer;
  /** The same, straight into a file: `pg_dump -Fc` writes offsets into one, which it cannot into a pipe. */
  runInto(file: string, program: string, args: readonly string[]): void;
  stop(): Promise<void>;
};

/**
 * Starts a private server. `authentication`: what its pg_hba.conf says of the socket. The server must not run as root, so root starts it as `postgres`, or as `nobody` where
 * there is no such user. It ends with `stop`, and by the kernel when this process dies in whatever way.
 */
export async function startPostgres(
  settings: readonly string[] = [],
  authentication = 'local all all trust',
): Promise<PostgresServer> {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-pg-'));
  const data = path.join(home, 'data');
  const asRoot = process.getuid?.() === 0;
  const user = asRoot ? unprivilegedUser() : null;
  if (user !== null) fs.chownSync(home, user.uid, user.gid);
  fs.chmodSync(home, 0o755);
  const become =
    user === null ? [] : [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups', `--inh-caps=-all`];

  const initdb = [
    'initdb',
    '-D',
    data,
    '-U',
    'postgres',
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--locale=C',
    '--no-sync',
  ];
  runChecked('setpriv', [...become, path.join(postgresBin, initdb[0] as string), ...initdb.slice(1)]);
  fs.writeFileSync(
    path.join(data, 'pg_hba.conf'),
    `${authentication}\nhost all all 127.0.0.1/32 scram-sha-256\n`,
  );
  const port = await freePort();
  const all = [
    `listen_addresses=127.0.0.1`,
    `port=${port}`,
    `unix_socket_directories=${home}`,
    'fsync=off',
    'synchronous_commit=off',
    'full_page_writes=off',
    'shared_buffers=128MB',
    'max_wal_size=2GB',
    'autovacuum=off',
    ...settings,
  ];
  const server = spawn(
    'setpriv',
    [
      ...become,
      '--pdeathsig=QUIT',
      path.join(postgresBin, 'postgres'),
      '-D',
      data,
      ...all.flatMap((s) => ['-c', s]),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  server.stderr.on('data', (piece: Buffer) => (log = (log + piece.toString('utf8')).slice(-20_000)));
  const onExit = () => server.kill('SIGQUIT');
  process.on('exit', onExit);
  const stop = async () => {
    process.off('exit', onExit);
    await endServer(server);
    fs.rmSync(home, { recursive: true, force: true });
  };

  const connection = (database: string) => `host=${home} port=${port} user=postgres dbname=${database}`;
  const run = (program: string, args: readonly string[]) => runChecked(path.join(postgresBin, program), args);
  const runInto = (file: string, program: string, args: readonly string[]) => {
    const fd = fs.openSync(file, 'w');
    try {
      runChecked(path.join(postgresBin, program), args, fd);
    } finally {
      fs.closeSync(fd);
    }
  };
  const sql = (database: string, statements: string) =>
    runChecked(
      path.join(postgresBin, 'psql'),
      ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', connection(database), '-f', '-'],
      'pipe',
      statements,
    )
      .toString('utf8')
      .trimEnd();
  try {
    await waitUntilReady(server, connection('postgres'), () => log);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    socketDirectory: home,
    port,
    connection,
    uri: (database, login, password) =>
      `postgresql://${encodeURIComponent(login)}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`,
    sql,
    createDatabase: (name) => void sql('postgres', `create database "${name}" template template0`),
    run,
    runInto,
    stop,
  };
}

async function waitUntilReady(server: ChildProcess, connection: string, log: () => string): Promise<void> {
  const isReady = (): boolean => {
    if (server.exitCode !== null) throw new Error(`PostgreSQL did not start: ${log()}`);
    return spawnSync(path.join(postgresBin, 'pg_isready'), ['-q', '-d', connection]).status === 0;
  };
  await until('PostgreSQL is ready', isReady, { explain: log });
}

/** Immediate shutdown; by force after a minute. */
async function endServer(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  server.kill('SIGQUIT');
  const timer = setTimeout(() => server.kill('SIGKILL'), 60_000);
  await ended;
  clearTimeout(timer);
}

function runChecked(
  program: string,
  args: readonly string[],
  output: 'pipe' | number = 'pipe',
  input?: string,
): Buffer {
  const done = spawnSync(program, args, {
    stdio: ['pipe', output, 'pipe'],
    maxBuffer: 1024 ** 3,
    cwd: '/',
    ...(input === undefined ? {} : { input }),
  });
  if (done.status !== 0) {
    const said = done.error?.message ?? done.stderr.toString('utf8');
    throw new Error(`${path.basename(program)} failed (${done.status ?? done.signal}): ${said}`);
  }
  return output === 'pipe' ? done.stdout : Buffer.alloc(0);
}

function unprivilegedUser(): { uid: number; gid: number } {
  const users = fs.readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const fields = users.find((line) => line.startsWith(`${name}:`))?.split(':');
    if (fields !== undefined) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new Error('there is neither a user postgres nor a user nobody');
}

function findPostgresBin(): string {
  const parent = '/usr/lib/postgresql';
  const versions = fs.existsSync(parent) ? fs.readdirSync(parent) : [];
  const usable = versions
    .map((version) => ({ version: Number(version), bin: path.join(parent, version, 'bin') }))
    .filter(({ bin }) => fs.existsSync(path.join(bin, 'initdb')))
    .toSorted((a, b) => b.version - a.version);
  return usable[0]?.bin ?? '/usr/bin';
}
