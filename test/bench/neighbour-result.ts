import type { BenchmarkResult, Goal, Row } from './benchmark.ts';
import { median } from './median.ts';

/** Transactions a second of the site, alone and then beside one of the candidates, and how long that one took. */
export type Beside = { alonePerSecond: number; perSecond: number; tookMs: number };

export type NeighbourRound = Readonly<Record<NeighbourName, Beside>>;

export const neighbourNames = ['copy', 'rsync', 'dump', 'pgDump'] as const;
export type NeighbourName = (typeof neighbourNames)[number];

const neighbourTitles: Readonly<Record<NeighbourName, string>> = {
  copy: 'mastokeep, first copy',
  rsync: 'rsync -a --fsync',
  dump: 'mastokeep, first dump',
  pgDump: 'pg_dump -Fc -Z0',
};

const pairs = [
  { ours: 'copy', theirs: 'rsync' },
  { ours: 'dump', theirs: 'pgDump' },
] as const;
const pointsMax = 10;

/** Losses are per cent of the throughput alone, just before; goals compare the two of a round. */
export function neighbourResult(
  rounds: readonly NeighbourRound[],
  said: { checks: readonly string[]; notes: readonly string[] },
): BenchmarkResult {
  const loss = (round: NeighbourRound, name: NeighbourName): number =>
    100 * (1 - round[name].perSecond / round[name].alonePerSecond);
  const rows = neighbourNames.map((name): Row => {
    const losses = rounds.map((round) => loss(round, name));
    return {
      what: neighbourTitles[name],
      alone: median(rounds.map((round) => round[name].alonePerSecond)),
      perSecond: median(rounds.map((round) => round[name].perSecond)),
      lost: `${median(losses).toFixed(1)} %`,
      each: losses.map((one) => one.toFixed(1)).join(', '),
      tookMs: median(rounds.map((round) => round[name].tookMs)),
    };
  });
  const goals = pairs.map(({ ours, theirs }): Goal => ({
    what: `points that ${neighbourTitles[ours]} takes from the site beyond ${neighbourTitles[theirs]}`,
    measured: median(rounds.map((round) => loss(round, ours) - loss(round, theirs))),
    limit: pointsMax,
    unit: 'count',
  }));
  return {
    tables: [
      {
        title: `pgbench, one client, beside others; medians of ${rounds.length}`,
        columns: [
          { id: 'what', title: 'WHAT', unit: 'text' },
          { id: 'alone', title: 'ALONE, /S', unit: 'count' },
          { id: 'perSecond', title: 'BESIDE IT, /S', unit: 'count' },
          { id: 'lost', title: 'LOST', unit: 'text' },
          { id: 'each', title: 'IN EACH ROUND, %', unit: 'text' },
          { id: 'tookMs', title: 'TIME', unit: 'ms' },
        ],
        rows,
      },
    ],
    goals,
    ...said,
  };
}
