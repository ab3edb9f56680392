import type { Column, Row } from './benchmark.ts';
import { median } from './median.ts';

type Process = { cpuMs: number; peakBytes: number | null };

/** One run: a command, and by name the daemons that worked for it. */
export type MediaRun = {
  wallMs: number;
  command: Process | null;
  daemons: Readonly<Record<string, Process | null>>;
};

/** What the benchmarks of media tell of each program. */
export const mediaColumns: readonly Column[] = [
  { id: 'what', title: 'WHAT', unit: 'text' },
  { id: 'runs', title: 'RUNS', unit: 'count' },
  { id: 'wallMs', title: 'WALL TIME', unit: 'ms' },
  { id: 'ratio', title: 'OURS / THIS', unit: 'times' },
  { id: 'cpuMs', title: 'CPU TIME', unit: 'ms' },
  { id: 'processes', title: 'OF IT', unit: 'text' },
  { id: 'peaks', title: 'PEAK MEMORY', unit: 'text' },
];

/** Medians of the runs, peaks of all of them. */
export function mediaRow(what: string, runs: readonly MediaRun[], ratio: number | null): Row {
  const processes = new Map<string, Process[]>();
  for (const { command, daemons } of runs)
    for (const [name, process] of Object.entries({ command, ...daemons }))
      if (process !== null) processes.set(name, [...(processes.get(name) ?? []), process]);
  const cpu = [...processes].map(([name, of]) => ({ name, cpuMs: median(of.map(({ cpuMs }) => cpuMs)) }));
  const peaks = [...processes].flatMap(([name, of]) => {
    const known = of.flatMap(({ peakBytes }) => peakBytes ?? []);
    return known.length === 0 ? [] : [`${name} ${(Math.max(...known) / 1e6).toFixed(0)} MB`];
  });
  return {
    what,
    runs: runs.length,
    wallMs: median(runs.map(({ wallMs }) => wallMs)),
    ratio,
    cpuMs: cpu.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    processes: cpu.map(({ name, cpuMs }) => `${name} ${(cpuMs / 1000).toFixed(1)} s`).join(', '),
    peaks: peaks.join(', '),
  };
}

/** The median of the ratios of each round's pair; null where nothing is compared. */
export function medianRatio(own: readonly MediaRun[], other: readonly MediaRun[]): number | null {
  if (own.length === 0 || other.length === 0) return null;
  return median(own.map(({ wallMs }, at) => wallMs / (other[at]?.wallMs ?? Number.NaN)));
}
