import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { postgresBin, type PostgresServer } from '../support/postgres.ts';
import type { Beside } from './neighbour-result.ts';

/** A stretch of time, ms since 1970. */
type Stretch = { fromMs: number; toMs: number };

const database = 'site';
const warmUpMs = 3000;
const aloneMs = 8000;
/** pgbench knows the length of its run beforehand; it is ended by hand. */
const longestSeconds = 36_000;
const clients = new Set<ChildProcess>();

process.on('exit', () => {
  for (const client of clients) client.kill('SIGKILL');
});

/** A site at work: pgbench with one client, whose transactions are durable. */
export class PgbenchSite {
  readonly #server: PostgresServer;
  readonly #directory: string;
  #runs = 0;

  /** Makes the tables: 15 MB for each of `branches`. `directory` is for the log of the transactions. */
  constructor(server: PostgresServer, directory: string, branches: number) {
    this.#server = server;
    this.#directory = directory;
    server.createDatabase(database);
    server.run('pgbench', ['-i', '-q', '-s', String(branches), server.connection(database)]);
  }

  /**
   * Lets the site work, for some seconds alone and then while `work` does; gives the transactions a second of both. What it
   * does alone is measured each time, so that the state of the machine and of the database is the same.
   */
  async measure(work: () => Promise<unknown>): Promise<Beside> {
    this.#server.sql(database, 'checkpoint');
    const prefix = path.join(this.#directory, `pgbench-${this.#runs++}`);
    const args = ['-n', '-c', '1', '-T', String(longestSeconds), '-l', `--log-prefix=${prefix}`];
    const client = spawn(path.join(postgresBin, 'pgbench'), [...args, this.#server.connection(database)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    clients.add(client);
    let said = '';
    client.stderr.on('data', (piece: Buffer) => (said = (said + piece.toString('utf8')).slice(-2000)));
    const ended = once(client, 'close') as Promise<[number | null]>;
    await pause(warmUpMs);
    const alone = await timed(async () => pause(aloneMs));
    const beside = await timed(work);
    await pause(warmUpMs / 3);
    // as if its time was over: it writes the rest of its log
    client.kill('SIGALRM');
    const [code] = await ended;
    clients.delete(client);
    if (code !== 0) throw new Error(`pgbench failed (${code ?? 'killed'}): ${said.trim()}`);
    const file = `${prefix}.${client.pid}`;
    const log = fs.readFileSync(file, 'latin1');
    fs.rmSync(file);
    const perSecond = (stretch: Stretch): number =>
      (countTransactions(log, stretch) * 1000) / (stretch.toMs - stretch.fromMs);
    return {
      alonePerSecond: perSecond(alone),
      perSecond: perSecond(beside),
      tookMs: beside.toMs - beside.fromMs,
    };
  }
}

async function timed(work: () => Promise<unknown>): Promise<Stretch> {
  const fromMs = Date.now();
  await work();
  return { fromMs, toMs: Date.now() };
}

/**
 * The transactions that ended in the stretch, by the log of pgbench: a line for each with client, number, time it took (µs),
 * script, and the second and microsecond of its end.
 */
export function countTransactions(log: string, { fromMs, toMs }: Stretch): number {
  let count = 0;
  for (const line of log.split('\n')) {
    const [, , , , seconds, microseconds] = line.split(' ');
    if (microseconds === undefined) continue;
    const endedMs = Number(seconds) * 1000 + Number(microseconds) / 1000;
    if (endedMs >= fromMs && endedMs < toMs) count += 1;
  }
  return count;
}
