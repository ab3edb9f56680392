import fs from 'node:fs';
import path from 'node:path';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult } from './benchmark.ts';
import { DatabaseDump } from './database-dump.ts';
import { describeHour, dumpHourlyResult, type FirstRun, type Hour } from './dump-hourly-result.ts';
import {
  borgRepository,
  gzipGpgFiles,
  resticRepository,
  type DumpStore,
  type OpenDumpStore,
} from './dump-store.ts';
import { fileHash } from './file-hash.ts';
import { findPeers, peerVersion, requirePostgres, type PeerProgram } from './peer-programs.ts';
import { SealedPair } from './sealed-pair.ts';
import { statusesOfScale } from './statuses-of-scale.ts';

/** `warmUpHours`: of the database's life before the first dump. */
type Plan = { warmUpHours: number; hours: number; firstRuns: number };

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
  run: async (context) => runDumpHourly(context, { warmUpHours: 48, hours: 6, firstRuns: 3 }),
};

export async function runDumpHourly(context: BenchmarkContext, plan: Plan): Promise<BenchmarkResult> {
  const { directory, scale, seed, say } = context;
  requirePostgres();
  const found = findPeers(['restic', 'borg', 'gzip', 'gpg'], say);
  const usable = stores.filter(({ programs }) => programs.every((program) => found.has(program)));
  const server = await startPostgres();
  const closing: (() => unknown)[] = [() => server.stop()];
  try {
    const statuses = statusesOfScale(scale);
    say(
      `making a database of ${statuses.toLocaleString('en')} statuses, and ${plan.warmUpHours} hours of its life`,
    );
    const database = await MastodonDatabase.create(server, 'mastodon', { seed, statuses });
    await database.churn(plan.warmUpHours);
    const dump = new DatabaseDump(path.join(directory, 'hour.dump'), database);
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
      const measured = await measureHour(hour, { database, dump, pair, peers });
      hours.push(measured);
      say(describeHour(measured));
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

type Candidates = {
  database: MastodonDatabase;
  dump: DatabaseDump;
  pair: SealedPair;
  peers: readonly DumpStore[];
};

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
  { directory, dump, rivals }: { directory: string; dump: DatabaseDump; rivals: readonly OpenDumpStore[] },
): Promise<FirstRun> {
  const own = path.join(directory, `first-${run}`);
  fs.mkdirSync(own);
  const took: FirstRun = { ours: null, alone: null, peers: [] };
  const withPair = async (name: string, measure: (pair: SealedPair) => Promise<void>): Promise<void> => {
    const pair = await SealedPair.start(path.join(own, name), [dump.asCommand], { countLink: false });
    try {
      await measure(pair);
    } finally {
      await pair.stop();
    }
  };
  const ours = async (): Promise<void> =>
    withPair('mastokeep', async (pair) => {
      took.ours = await pair.dump('bytes');
    });
  const alone = async (): Promise<void> =>
    withPair('alone', async (pair) => {
      took.alone = await pair.dumpAlone('bytes');
    });
  const others = rivals.map((open) => async (): Promise<void> => {
    const store = open(own);
    took.peers.push({ title: store.title, took: await store.store(dump.file) });
    store.close();
  });
  const all = [ours, ...others, alone];
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
  const to = path.join(directory, 'restored');
  const check = async (who: string, file: string): Promise<void> => {
    if ((await fileHash(file)) !== expected)
      throw new Error(`${who} gives back another dump than it was given`);
    fs.rmSync(to, { recursive: true });
    checks.push(`${who} gives back the last dump byte for byte`);
  };
  await pair.restore('bytes', ['--to', to]);
  await check('mastokeep-agent restore', path.join(to, 'bytes', 'output'));
  for (const peer of peers) {
    fs.mkdirSync(to);
    await check(peer.title, (await peer.restore(to)).file);
  }
  return checks;
}
