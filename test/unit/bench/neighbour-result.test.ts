import { expect, it } from 'vitest';
import { neighbourResult, type NeighbourRound } from '../../bench/neighbour-result.ts';
import { countTransactions } from '../../bench/pgbench-site.ts';

const round = (alone: number, copy: number, rsync: number, dump: number, pgDump: number): NeighbourRound => {
  const beside = (perSecond: number) => ({ alonePerSecond: alone, perSecond, tookMs: 1000 });
  return {
    copy: beside(copy),
    rsync: beside(rsync),
    dump: beside(dump),
    pgDump: beside(pgDump),
  };
};

it('compares losses within a round, each with what the site did alone before it', () => {
  const rounds = [round(100, 70, 80, 50, 90), round(1000, 750, 800, 800, 700), round(10, 8, 7, 9, 9)];
  const { goals, tables } = neighbourResult(rounds, { checks: [], notes: [] });
  expect(goals.map(({ measured }) => Math.round(measured ?? 0))).toEqual([5, 0]);
  expect(tables[0]?.rows[0]).toMatchObject({ perSecond: 70, lost: '25.0 %', each: '30.0, 25.0, 20.0' });
});

it('counts the transactions that ended in the stretch', () => {
  const line = (ms: number): string => `0 199 2241 0 ${Math.floor(ms / 1000)} ${(ms % 1000) * 1000}`;
  const log = [999, 1000, 1500, 2999, 3000].map(line).join('\n');
  expect(countTransactions(`${log}\n`, { fromMs: 1000, toMs: 3000 })).toBe(3);
});
