import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { postgresBin, startPostgres } from '../support/postgres.ts';
import { compareTrees } from '../support/tree-compare.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult } from './benchmark.ts';
import { DatabaseDump } from './database-dump.ts';
import { fileHash } from './file-hash.ts';
import { measureProcess } from './measured-process.ts';
import { MirrorPair } from './mirror-pair.ts';
import {
  neighbourNames,
  neighbourResult,
  type Beside,
  type NeighbourName,
  type NeighbourRound,
} from './neighbour-result.ts';
import { findPeers, peerVersion, ProgramMissingError, requirePostgres } from './peer-programs.ts';
import { PgbenchSite } from './pgbench-site.ts';
import { SealedPair } from './sealed-pair.ts';
import { statusesOfScale } from './statuses-of-scale.ts';

const rounds = 3;
/** A bare dump is short, so it is made again for so long. */
const bareMs = 10_000;
const filesAtScale1 = 16_000;
const medianBytes = 48 * 1024;
const branchesAtScale1 = 30;
/** What a site has: nothing of a commit is lost. Later settings win. */
const durable = ['fsync=on', 'synchronous_commit=on', 'full_page_writes=on', 'autovacuum=on'];

export const neighbour: Benchmark = {
  name: 'neighbour',
  summary:
    'what a first copy and a dump take from pgbench on the same machine, beside what rsync and pg_dump take',
  run: runNeighbour,
};

async function runNeighbour(context: BenchmarkContext): Promise<BenchmarkResult> {
  const { directory, scale, seed, say } = context;
  requirePostgres();
  if (!findPeers(['rsync'], say).has('rsync'))
    throw new ProgramMissingError('rsync is not installed (Debian package rsync)');
  const server = await startPostgres(durable);
  try {
    const statuses = statusesOfScale(scale);
    say(`making a site, and a database of ${statuses.toLocaleString('en')} statuses`);
    const site = new PgbenchSite(server, directory, Math.ceil(branchesAtScale1 * scale));
    const database = await MastodonDatabase.create(server, 'mastodon', { seed, statuses });
    server.sql('mastodon', 'vacuum analyze');
    say('making media');
    const media = path.join(directory, 'media');
    const files = Math.ceil(filesAtScale1 * scale);
    const tree = MastodonTree.make(media, { seed, files, medianBytes });
    const dump = new DatabaseDump(path.join(directory, 'bare.dump'), database);
    const measured: NeighbourRound[] = [];
    for (let round = 0; round < rounds; round++)
      measured.push(await measureRound(round, { site, say, media, database, dump, directory }));
    return neighbourResult(measured, {
      checks: [
        'every copy of the media has all their names and bytes',
        'every dump restores to an archive that pg_restore makes the same statements of as of the bare one',
      ],
      notes: [
        `${tree.files.toLocaleString('en')} files, ${peerVersion('rsync')}, both sides of every copy on this machine; PostgreSQL syncs every commit`,
      ],
    });
  } finally {
    await server.stop();
  }
}

type Round = {
  site: PgbenchSite;
  say: (line: string) => void;
  media: string;
  database: MastodonDatabase;
  dump: DatabaseDump;
  directory: string;
};

/**
 * Every candidate once, each round beginning with another one. What it made stays until all are through: a file system that
 * still removes inodes is slow for the next one.
 */
async function measureRound(round: number, { site, say, ...deps }: Round): Promise<NeighbourRound> {
  const took = new Map<NeighbourName, Beside>();
  for (let at = 0; at < neighbourNames.length; at++) {
    const name = neighbourNames[(at + round) % neighbourNames.length] as NeighbourName;
    const own = path.join(deps.directory, `round-${round}-${name}`);
    fs.mkdirSync(own);
    const beside = await candidates[name](own, deps, (work) => site.measure(work));
    execFileSync('sync');
    say(
      `round ${round + 1} of ${rounds}, ${name}: ${beside.perSecond.toFixed(0)} a second instead of ${beside.alonePerSecond.toFixed(0)}, ${(beside.tookMs / 1000).toFixed(1)} s`,
    );
    took.set(name, beside);
  }
  return Object.fromEntries(took) as NeighbourRound;
}

type Measure = (work: () => Promise<unknown>) => Promise<Beside>;
type Deps = Omit<Round, 'site' | 'say'>;

/** Each sets itself up in a directory of its own, is measured, and throws where its result is not right. */
const candidates: Readonly<
  Record<NeighbourName, (own: string, deps: Deps, measure: Measure) => Promise<Beside>>
> = {
  copy: async (own, { media }, measure) => {
    const pair = await MirrorPair.start(path.join(own, 'pair'));
    try {
      const beside = await measure(async () => pair.copy(media));
      checkCopy(media, await pair.copied());
      return beside;
    } finally {
      await pair.stop();
    }
  },
  rsync: async (own, { media }, measure) => {
    const to = path.join(own, 'media');
    const beside = await measure(async () =>
      measureProcess(['rsync', '-a', '--fsync', `${media}/`, `${to}/`]),
    );
    checkCopy(media, to);
    return beside;
  },
  dump: async (own, { database, dump }, measure) => {
    const folder = { id: 'postgres', source: ['--postgres', database.connection()] };
    const pair = await SealedPair.start(path.join(own, 'pair'), [folder], { countLink: false });
    try {
      const beside = await measure(async () => pair.dump('postgres'));
      const to = path.join(own, 'restored');
      await pair.restore('postgres', ['--to', to]);
      await checkDump(path.join(to, 'postgres', 'database.dump'), dump);
      return beside;
    } finally {
      await pair.stop();
    }
  },
  pgDump: async (_own, { dump }, measure) =>
    measure(async () => {
      const endsAt = performance.now() + bareMs;
      do await dump.bare();
      while (performance.now() < endsAt);
    }),
};

function checkCopy(media: string, copy: string): void {
  const [difference] = compareTrees(media, copy, {
    emptyDirectories: false,
    modes: false,
    times: false,
  }).differences;
  if (difference !== undefined) throw new Error(`a copy is wrong: ${difference.path}: ${difference.problem}`);
}

async function checkDump(restored: string, dump: DatabaseDump): Promise<void> {
  await dump.make();
  if ((await statementsHash(restored)) !== (await statementsHash(dump.file)))
    throw new Error('a restored dump makes another database than the bare one');
}

/** SHA-256 of all statements that make the database of an archive, without the lines that have a random word. */
async function statementsHash(archive: string): Promise<string> {
  const statements = `${archive}.sql`;
  const script = `"$0" -f - "$1" | grep -av '^.\\(un\\)\\?restrict ' > "$2"`;
  await measureProcess(['sh', '-c', script, path.join(postgresBin, 'pg_restore'), archive, statements]);
  try {
    return await fileHash(statements);
  } finally {
    fs.rmSync(statements);
  }
}
