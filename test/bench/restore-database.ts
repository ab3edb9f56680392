import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { postgresBin, startPostgres, type PostgresServer } from '../support/postgres.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult, Row } from './benchmark.ts';
import { DatabaseDump } from './database-dump.ts';
import { runInTurn } from './in-turn.ts';
import { measureProcess, type Measured } from './measured-process.ts';
import { median } from './median.ts';
import { requirePostgres } from './peer-programs.ts';
import { SealedPair } from './sealed-pair.ts';
import { restoreColumns } from './restore-columns.ts';
import { statusesOfScale } from './statuses-of-scale.ts';

const runs = 3;
const jobs = '4';
const target = 'restored';

type Candidate = { title: string; restore: (connection: string) => Promise<Measured> };

export const restoreDatabase: Benchmark = {
  name: 'restore-database',
  summary:
    'a dump of 0.85 GB (scale 6: 5 GB) from a receiver on into PostgreSQL, beside pg_restore of a local file',
  run: runRestoreDatabase,
};

async function runRestoreDatabase({
  directory,
  scale,
  seed,
  say,
}: BenchmarkContext): Promise<BenchmarkResult> {
  requirePostgres();
  const server = await startPostgres();
  let pair: SealedPair | null = null;
  try {
    const statuses = statusesOfScale(scale);
    say(`making a database of ${statuses.toLocaleString('en')} statuses`);
    const database = await MastodonDatabase.create(server, 'mastodon', { seed, statuses });
    const withOffsets = new DatabaseDump(path.join(directory, 'with-offsets.dump'), database);
    const dumpBytes = await withOffsets.make();
    // pg_dump writes offsets only where it can seek.
    const without = path.join(directory, 'without-offsets.dump');
    const pipe = '"$1/pg_dump" -Fc -Z0 -d "$2" | cat >"$3"';
    execFileSync('sh', ['-c', pipe, 'sh', postgresBin, database.connection(), without]);
    const folder = { id: 'postgres', source: ['--postgres', database.connection()] };
    pair = await SealedPair.start(path.join(directory, 'mastokeep'), [folder], { countLink: false });
    const sealed = pair;
    await sealed.dump(folder.id);
    const expected = contentOf(server, 'mastodon');
    const candidates: Candidate[] = [
      {
        title: 'mastokeep, from the receiver',
        restore: async (connection) => {
          const where = ['--pg-restore', connection, '--jobs', jobs, '--scratch', directory];
          return (await sealed.restore(folder.id, where)).took;
        },
      },
      plain(`pg_restore -j ${jobs}, file with offsets`, server, withOffsets.file),
      plain(`pg_restore -j ${jobs}, file without offsets`, server, without),
    ];
    const results = await runInTurn(candidates, runs, async (candidate, round) => {
      say(`restore ${round + 1} of ${runs}: ${candidate.title}`);
      const took = await candidate.restore(server.connection(target));
      if (contentOf(server, target) !== expected)
        throw new Error(`${candidate.title} makes another database`);
      server.sql('postgres', `drop database ${target}`);
      return took;
    });
    for (const file of [withOffsets.file, without]) fs.rmSync(file);
    return restoreResult(results, dumpBytes);
  } finally {
    await pair?.stop();
    await server.stop();
  }
}

function plain(title: string, server: PostgresServer, file: string): Candidate {
  return {
    title,
    restore: async (connection) => {
      server.createDatabase(target);
      const program = path.join(postgresBin, 'pg_restore');
      return measureProcess([program, '--no-owner', '-j', jobs, '-d', connection, file]);
    },
  };
}

/** Number and hash of the rows of every table, whatever their order. */
function contentOf(server: PostgresServer, database: string): string {
  const tables = server.sql(
    database,
    `select relname from pg_class where relkind in ('r', 'm') and relnamespace = 'public'::regnamespace order by 1`,
  );
  const queries = tables
    .split('\n')
    .map((table) => `select '${table}', count(*), sum(hashtextextended(t::text, 0)) from "${table}" as t;`);
  return server.sql(database, queries.join('\n'));
}

function restoreResult(
  results: ReadonlyMap<Candidate, readonly Measured[]>,
  dumpBytes: number,
): BenchmarkResult {
  const [own = [], ...rest] = [...results.values()];
  const rows = [...results].map(([{ title }, took], at): Row => {
    const ratios = own.map(({ wallMs }, round) => wallMs / (took[round]?.wallMs ?? Number.NaN));
    return {
      what: title,
      wallMs: median(took.map(({ wallMs }) => wallMs)),
      ratio: at === 0 ? null : median(ratios),
      cpuMs: median(took.map(({ cpuMs }) => cpuMs)),
      peakBytes: Math.max(...took.map(({ peakBytes }) => peakBytes)),
    };
  });
  return {
    tables: [
      {
        title: `A dump of ${(dumpBytes / 1e6).toFixed(0)} MB into a new database; medians of ${runs}, peak memory: largest`,
        columns: restoreColumns,
        rows,
      },
    ],
    goals: [],
    checks: [`all ${1 + rest.length} make a database with the same rows in every table`],
    notes: [
      'ours fetches the dump, checks it and only then begins; CPU time and memory are those of the command, not of the database server',
    ],
  };
}
