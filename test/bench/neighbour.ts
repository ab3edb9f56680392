import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { remoteAgentCommands } from '../../agent/agent-commands.ts';
import { homeAt } from '../../shared/io/home.ts';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { postgresBin, startPostgres } from '../support/postgres.ts';
import { compareTrees } from '../support/tree-compare.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult } from './benchmark.ts';
import { DatabaseDump } from './database-dump.ts';
import { fileHash } from './file-hash.ts';
import { lowerPriority } from './lower-priority.ts';
import { measureProcess } from './measured-process.ts';
import { MediaPair } from './media-pair.ts';
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
const longMs = 3_600_000;
const againMs = 10_000;
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
        'the agent has the processor priority of the unit in README.md; the receiver, rsync and PostgreSQL have that of the site',
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
    const pair = await MediaPair.start(path.join(own, 'pair'));
    try {
      lowerPriority(pair.agent.daemon.pid);
      const beside = await measure(async () => pair.copyQuietly(media));
      checkCopy(media, pair.current);
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
  dump: async (own, { database, dump }, measure) =>
    withDumps(own, database, async (makeVersion, pair) => {
      const beside = await measure(makeVersion);
      const to = path.join(own, 'restored');
      await pair.restore('postgres', ['--to', to]);
      await checkDump(path.join(to, 'postgres', 'database.dump'), dump);
      return beside;
    }),
  laterDump: async (own, { database }, measure) =>
    withDumps(own, database, async (makeVersion) => {
      await makeVersion();
      return measure(async () => againAndAgain(makeVersion));
    }),
  pgDump: async (_own, { dump }, measure) => measure(async () => againAndAgain(async () => dump.bare())),
};

/** With a pair that has made no version of the database yet. */
async function withDumps(
  own: string,
  database: MastodonDatabase,
  use: (makeVersion: () => Promise<unknown>, pair: SealedPair) => Promise<Beside>,
): Promise<Beside> {
  const folder = { id: 'postgres', source: ['--postgres', database.connection()] };
  const pair = await SealedPair.start(path.join(own, 'pair'), [folder], {
    countLink: false,
    compiled: true,
  });
  try {
    lowerPriority(pair.agent.daemon.pid);
    const commands = remoteAgentCommands(homeAt(pair.agent.home, 'agent.yaml'));
    const options = { folder: 'postgres', pin: null, copies: 1, timeoutMs: longMs };
    return await use(async () => commands.dump(options), pair);
  } finally {
    await pair.stop();
  }
}

/** What is short is done again for some seconds. */
async function againAndAgain(work: () => Promise<unknown>): Promise<void> {
  const endsAt = performance.now() + againMs;
  do await work();
  while (performance.now() < endsAt);
}

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
