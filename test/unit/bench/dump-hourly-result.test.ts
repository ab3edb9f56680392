import { expect, it } from 'vitest';
import { dumpHourlyResult, type FirstRun, type Hour } from '../../bench/dump-hourly-result.ts';

const took = (wallMs: number) => ({ wallMs, cpuMs: 1, peakBytes: 1 });
const dumped = (wallMs: number, linkBytes: number) => ({
  wallMs,
  durableMs: wallMs + 1,
  agent: { cpuMs: 1, peakBytes: 1 },
  receiver: { cpuMs: 1, peakBytes: 1 },
  linkBytes,
});

const hourOf = (hour: number, sent: number, restic: number): Hour => ({
  hour,
  changedRows: 10,
  dumpBytes: 1000,
  bare: took(100),
  postgres: dumped(140, 0),
  bytes: { ...dumped(50, sent), grownBytes: sent },
  peers: [
    { title: 'restic', took: took(60), grownBytes: restic },
    { title: 'gzip + gpg', took: took(60), grownBytes: 900 },
  ],
});

const first = (ours: number, restic: number, alone: number): FirstRun => ({
  ours: dumped(ours, 0),
  alone: dumped(alone, 0),
  peers: [{ title: 'restic', took: took(restic) }],
});

it('compares what all hours together sent, without the first dump, and leaves open what no peer was there for', () => {
  const { goals } = dumpHourlyResult({
    versions: [],
    hours: [hourOf(0, 1000, 1000), hourOf(1, 10, 100), hourOf(2, 30, 500)],
    firstRuns: [first(300, 200, 180), first(100, 200, 60), first(250, 200, 220)],
    checks: [],
  });
  expect(goals.map(({ what, measured }) => [what, measured])).toEqual([
    ['sent an hour / growth of restic', 40 / 600],
    ['sent an hour / growth of borg, zstd,3', null],
    ['sent an hour / growth of gzip + gpg', 40 / 1800],
    ['dump with little changed / pg_dump alone, wall time', 1.4],
    ['first dump / restic, wall time', 1.25],
    ['first dump / restic, wall time, no receiver on the same processors', 0.9],
  ]);
});

it('shows each hour and their mean, with the ratio of the sums', () => {
  const hours = [hourOf(0, 1000, 1000), hourOf(1, 10, 100), hourOf(2, 30, 500)];
  const { tables } = dumpHourlyResult({ versions: [], hours, firstRuns: [], checks: [] });
  const rows = tables[0]?.rows.map((row) => [
    row['hour'],
    row['sentBytes'],
    row['restic'],
    row['restic ratio'],
  ]);
  expect(rows).toEqual([
    ['0', 1000, 1000, 1],
    ['1', 10, 100, 0.1],
    ['2', 30, 500, 0.06],
    ['mean', 20, 300, 40 / 600],
  ]);
});
