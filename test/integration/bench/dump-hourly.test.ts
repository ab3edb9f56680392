import { expect, it } from 'vitest';
import { runDumpHourly } from '../../bench/dump-hourly.ts';
import { formatReport } from '../../bench/report.ts';
import { runBenchmark } from '../../bench/run-benchmark.ts';
import os from 'node:os';

it('measures an hour of a tiny database, and finds every dump restored as it was', async () => {
  const said: string[] = [];
  const benchmark = {
    name: 'dump-hourly',
    summary: '',
    run: async (context: Parameters<typeof runDumpHourly>[0]) =>
      runDumpHourly(context, { warmUpHours: 1, hours: 1, firstRuns: 1 }),
  };
  const report = await runBenchmark(benchmark, {
    scale: 0.003,
    seed: 1,
    parent: os.tmpdir(),
    say: (line) => void said.push(line),
  });
  const [bytes] = report.tables;
  const [first, hour] = bytes?.rows ?? [];
  const sent = (row: typeof first): number => Number(row?.['sentBytes']);
  expect(sent(first)).toBeGreaterThan(100_000);
  expect(sent(hour)).toBeGreaterThan(10_000);
  expect(sent(hour)).toBeLessThan(sent(first) / 2);
  expect(Number(first?.['grownBytes'])).toBeLessThan(sent(first));
  expect(report.checks).toContain('mastokeep-agent restore gives back the last dump byte for byte');
  const peers = ['restic', 'borg'].filter((name) => !said.some((line) => line.startsWith(`${name} is not`)));
  for (const peer of peers) expect(report.checks.join('\n')).toContain(peer);
  expect(formatReport(report)).toContain('hour, from a file: agent');
});
