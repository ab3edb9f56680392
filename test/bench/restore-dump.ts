import fs from 'node:fs';
import path from 'node:path';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult, Goal, ResultTable, Row } from './benchmark.ts';
import { DatabaseDump } from './database-dump.ts';
import { borgRepository, resticRepository, type DumpStore } from './dump-store.ts';
import { fileHash } from './file-hash.ts';
import { runInTurn } from './in-turn.ts';
import type { Measured } from './measured-process.ts';
import { median } from './median.ts';
import { findPeers, peerVersion, requirePostgres, type PeerProgram } from './peer-programs.ts';
import { SealedPair } from './sealed-pair.ts';
import { restoreColumns } from './restore-columns.ts';
import { statusesOfScale } from './statuses-of-scale.ts';

/** Versions before the one that is restored, so that it is spread over packs of several hours. */
const hours = 3;
const runs = 3;

const stores = [
  { open: resticRepository, program: 'restic' },
  { open: borgRepository, program: 'borg' },
] as const;

export const restoreDump: Benchmark = {
  name: 'restore-dump',
  summary:
    'a dump of 0.85 GB (scale 6: 5 GB) back into a verified file, beside restic and borg from a local repository',
  run: runRestoreDump,
};

/** `receiver`: what ours costs on the other side; null for a peer. */
type Candidate = {
  title: string;
  restore: (
    to: string,
  ) => Promise<{ took: Measured; file: string; receiver: { cpuMs: number; peakBytes: number } | null }>;
};

type Run = { title: string; took: Measured; receiver: { cpuMs: number; peakBytes: number } | null };

async function runRestoreDump(context: BenchmarkContext): Promise<BenchmarkResult> {
  const { directory, say } = context;
  requirePostgres();
  const found = findPeers(['restic', 'borg'], say);
  const dump = { file: path.join(directory, 'hour.dump'), bytes: 0 };
  const peers = stores.filter(({ program }) => found.has(program)).map(({ open }) => open(directory));
  const pair = await SealedPair.start(
    path.join(directory, 'mastokeep'),
    [{ id: 'bytes', source: ['--command', `cat '${dump.file}'`] }],
    { countLink: false },
  );
  try {
    dump.bytes = await storeHours(context, dump.file, { pair, peers });
    const expected = await fileHash(dump.file);
    const candidates: Candidate[] = [ours(pair), ...peers.map(theirs)];
    const measured: Run[] = [];
    await runInTurn(candidates, runs, async (candidate, round) => {
      say(`restore ${round + 1} of ${runs}: ${candidate.title}`);
      const to = path.join(directory, 'restored');
      fs.mkdirSync(to);
      const { file, ...figures } = await candidate.restore(to);
      if ((await fileHash(file)) !== expected) throw new Error(`${candidate.title} gives back another dump`);
      fs.rmSync(to, { recursive: true });
      measured.push({ title: candidate.title, ...figures });
    });
    return restoreResult(measured, { dumpBytes: dump.bytes, versions: [...found] });
  } finally {
    await pair.stop();
    for (const peer of peers) peer.close();
  }
}

/** Some hours of one database, each kept by all; the server is gone afterwards. Gives the size of the last dump. */
async function storeHours(
  { scale, seed, say }: BenchmarkContext,
  file: string,
  { pair, peers }: { pair: SealedPair; peers: readonly DumpStore[] },
): Promise<number> {
  const server = await startPostgres();
  try {
    const statuses = statusesOfScale(scale);
    say(`making a database of ${statuses.toLocaleString('en')} statuses`);
    const database = await MastodonDatabase.create(server, 'mastodon', { seed, statuses });
    const dump = new DatabaseDump(file, database);
    for (let hour = 0; ; hour++) {
      const bytes = await dump.make();
      say(`keeping hour ${hour} of ${hours}`);
      await pair.dump('bytes');
      for (const peer of peers) await peer.store(file);
      if (hour === hours) return bytes;
      await database.churn(1);
    }
  } finally {
    await server.stop();
  }
}

function ours(pair: SealedPair): Candidate {
  return {
    title: 'mastokeep',
    restore: async (to) => ({
      ...(await pair.restore('bytes', ['--to', to])),
      file: path.join(to, 'bytes', 'output'),
    }),
  };
}

function theirs(peer: DumpStore): Candidate {
  return { title: peer.title, restore: async (to) => ({ ...(await peer.restore(to)), receiver: null }) };
}

function restoreResult(
  measured: readonly Run[],
  { dumpBytes, versions }: { dumpBytes: number; versions: readonly PeerProgram[] },
): BenchmarkResult {
  const of = (title: string): Run[] => measured.filter((run) => run.title === title);
  const titles = [...new Set(measured.map(({ title }) => title))].toSorted();
  const own = of('mastokeep');
  const ratio = (title: string): number =>
    median(own.map(({ took }, at) => took.wallMs / (of(title)[at]?.took.wallMs ?? Number.NaN)));
  const rows: Row[] = titles.map((title) => ({
    what: title,
    wallMs: median(of(title).map(({ took }) => took.wallMs)),
    ratio: title === 'mastokeep' ? null : ratio(title),
    cpuMs: median(of(title).map(({ took }) => took.cpuMs)),
    peakBytes: Math.max(...of(title).map(({ took }) => took.peakBytes)),
  }));
  const serving = own.flatMap(({ receiver }) => receiver ?? []);
  rows.push({
    what: 'mastokeep: the receiver meanwhile',
    wallMs: null,
    ratio: null,
    cpuMs: median(serving.map(({ cpuMs }) => cpuMs)),
    peakBytes: Math.max(...serving.map(({ peakBytes }) => peakBytes)),
  });
  const table: ResultTable = {
    title: `A dump of ${(dumpBytes / 1e6).toFixed(0)} MB back into a file; medians of ${runs}, peak memory: largest`,
    columns: restoreColumns,
    rows,
  };
  const goals = ['restic', 'borg, zstd,3'].map((title): Goal => ({
    what: `restore / ${title}, wall time`,
    measured: titles.includes(title) ? ratio(title) : null,
    limit: 1,
    unit: 'times',
  }));
  return {
    tables: [table],
    goals,
    checks: ['every restored file has the SHA-256 of the dump'],
    notes: [
      `compared with ${versions.map(peerVersion).join(', ') || 'nothing'}`,
      'ours comes over TLS from a receiver, is checked by its hash and synced to the disk; restic and borg read their repository in place and sync nothing',
    ],
  };
}
