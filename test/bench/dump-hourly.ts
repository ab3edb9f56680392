import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { postgresBin, startPostgres, type PostgresServer } from '../support/postgres.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult } from './benchmark.ts';
import { dumpHourlyResult, type FirstRun, type Hour } from './dump-hourly-result.ts';
import {
  borgRepository,
  gzipGpgFiles,
  resticRepository,
  type DumpStore,
  type OpenDumpStore,
} from './dump-store.ts';
import { measureProcess, type Measured } from './measured-process.ts';
import { findPeers, peerVersion, requirePostgres, type PeerProgram } from './peer-programs.ts';
import { SealedPair } from './sealed-pair.ts';

type Plan = { hours: number; firstRuns: number };

const statusesAtScale1 = 620_000;
const warmUpHours = 48;

/** Stores by what tables call them, in the order in which they are run. */
const stores: readonly { open: OpenDumpStore; programs: readonly PeerProgram[]; alsoFirstRuns: boolean }[] = [
  { open: resticRepository, programs: ['restic'], alsoFirstRuns: true },
  { open: borgRepository, programs: ['borg'], alsoFirstRuns: true },
  { open: gzipGpgFiles, programs: ['gzip', 'gpg'], alsoFirstRuns: false },
];

export const dumpHourly: Benchmark = {
  name: 'dump-hourly',
  summary:
    'a Mastodon-shaped dump of 0.85 GB, 0.4 % of its rows changed an hour: bytes and time beside restic, borg and gzip+gpg',
  run: async (context) => runDumpHourly(context, { hours: 6, firstRuns: 3 }),
};

export async function runDumpHourly(context: BenchmarkContext, plan: Plan): Promise<BenchmarkResult> {
  const { directory, scale, seed, say } = context;
  requirePostgres();
  const found = findPeers(['restic', 'borg', 'gzip', 'gpg'], say);
  const usable = stores.filter(({ programs }) => programs.every((program) => found.has(program)));
  const server = await startPostgres();
  const closing: (() => unknown)[] = [() => server.stop()];
  try {
    const statuses = Math.ceil(statusesAtScale1 * scale);
    say(`making a database of ${statuses.toLocaleString('en')} statuses and two days of its life`);
    const database = await MastodonDatabase.create(server, 'mastodon', { seed, statuses });
    await database.churn(warmUpHours);
    const dump = new Dump(directory, server, database);
    const peers = usable.map(({ open }) => open(directory));
    closing.push(...peers.map((peer) => () => peer.close()));
    const pair = await SealedPair.start(
      path.join(directory, 'mastokeep'),
      [dump.asCommand, { id: 'postgres', source: ['--postgres', database.connection()] }],
      { countLink: true },
    );
    closing.push(async () => pair.stop());
    const hours: Hour[] = [];
    for (let hour = 0; hour <= plan.hours; hour++) {
      say(hour === 0 ? 'the first dump' : `hour ${hour} of ${plan.hours}`);
      hours.push(await measureHour(hour, { database, dump, pair, peers }));
    }
    const checks = await checkRestored({ dump, pair, peers, directory });
    await pair.stop();
    const firstRuns: FirstRun[] = [];
    const rivals = usable.filter(({ alsoFirstRuns }) => alsoFirstRuns).map(({ open }) => open);
    for (let run = 0; run < plan.firstRuns; run++) {
      say(`a first dump again, ${run + 1} of ${plan.firstRuns}`);
      firstRuns.push(await measureFirst(run, { directory, dump, rivals }));
    }
    return dumpHourlyResult({ versions: [...found].map(peerVersion), hours, firstRuns, checks });
  } finally {
    for (const close of closing.toReversed()) await close();
  }
}

/** The dump of the current hour in a file, of which every candidate reads the same bytes. */
class Dump {
  readonly file: string;
  readonly #argv: readonly string[];

  constructor(directory: string, server: PostgresServer, database: MastodonDatabase) {
    this.file = path.join(directory, 'hour.dump');
    const connection = server.connection(database.name);
    this.#argv = [path.join(postgresBin, 'pg_dump'), '-Fc', '-Z0', '-d', connection];
  }

  get asCommand(): { id: string; source: readonly string[] } {
    return { id: 'bytes', source: ['--command', `cat '${this.file}'`] };
  }

  async make(): Promise<number> {
    await measureProcess(this.#argv, { output: this.file });
    return fs.statSync(this.file).size;
  }

  /** What pg_dump takes by itself, its output thrown away. */
  async bare(): Promise<Measured> {
    return measureProcess(this.#argv);
  }
}

type Candidates = { database: MastodonDatabase; dump: Dump; pair: SealedPair; peers: readonly DumpStore[] };

async function measureHour(hour: number, { database, dump, pair, peers }: Candidates): Promise<Hour> {
  const churned = hour === 0 ? null : await database.churn(1);
  const dumpBytes = await dump.make();
  // In turn, so that neither always finds what the other has left in the caches.
  const bareFirst = hour % 2 === 0 ? await dump.bare() : null;
  const postgres = await pair.dump('postgres');
  const bare = bareFirst ?? (await dump.bare());
  const before = pair.bytesAtRest('bytes');
  const bytes = await pair.dump('bytes');
  const kept: Hour['peers'] = [];
  for (const peer of peers) {
    const atRest = peer.bytesAtRest();
    const took = await peer.store(dump.file);
    kept.push({ title: peer.title, took, grownBytes: peer.bytesAtRest() - atRest });
  }
  return {
    hour,
    changedRows: churned === null ? 0 : churned.inserted + churned.updated + churned.deleted,
    dumpBytes,
    bare,
    postgres,
    bytes: { ...bytes, grownBytes: pair.bytesAtRest('bytes') - before },
    peers: kept,
  };
}

async function measureFirst(
  run: number,
  { directory, dump, rivals }: { directory: string; dump: Dump; rivals: readonly OpenDumpStore[] },
): Promise<FirstRun> {
  const own = path.join(directory, `first-${run}`);
  fs.mkdirSync(own);
  const took: FirstRun = { ours: null, peers: [] };
  const ours = async (): Promise<void> => {
    const pair = await SealedPair.start(path.join(own, 'mastokeep'), [dump.asCommand], { countLink: false });
    try {
      took.ours = await pair.dump('bytes');
    } finally {
      await pair.stop();
    }
  };
  const others = rivals.map((open) => async (): Promise<void> => {
    const store = open(own);
    took.peers.push({ title: store.title, took: await store.store(dump.file) });
    store.close();
  });
  const all = [ours, ...others];
  // Each run begins with another one of them.
  for (let at = 0; at < all.length; at++) await all[(run + at) % all.length]?.();
  fs.rmSync(own, { recursive: true });
  return took;
}

async function checkRestored({
  dump,
  pair,
  peers,
  directory,
}: Omit<Candidates, 'database'> & { directory: string }): Promise<string[]> {
  const expected = await fileHash(dump.file);
  const checks: string[] = [];
  const check = async (who: string, file: string): Promise<void> => {
    if ((await fileHash(file)) !== expected)
      throw new Error(`${who} gives back another dump than it was given`);
    fs.rmSync(file);
    checks.push(`${who} gives back the last dump byte for byte`);
  };
  const to = path.join(directory, 'restored');
  await pair.restore('bytes', to);
  await check('mastokeep-agent restore', path.join(to, 'bytes', 'output'));
  for (const peer of peers) {
    const file = path.join(directory, 'restored.peer');
    await peer.restore(file);
    await check(peer.title, file);
  }
  return checks;
}

async function fileHash(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(fs.createReadStream(file), hash);
  return hash.digest('hex');
}
