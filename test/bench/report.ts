import os from 'node:os';
import { formatTable } from '../../shared/cli/table.ts';
import type { BenchmarkResult, Goal, ResultTable, Unit } from './benchmark.ts';

export type Report = {
  benchmark: string;
  scale: number;
  seed: number;
  startedAt: string;
  durationMs: number;
  machine: { cores: number; memoryBytes: number; cpu: string; kernel: string; loadAtStart: number };
} & BenchmarkResult;

export function describeMachine(): Report['machine'] {
  return {
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    cpu: os.cpus()[0]?.model.trim() ?? '',
    kernel: `${os.type()} ${os.release()}`,
    loadAtStart: os.loadavg()[0] ?? 0,
  };
}

/** For people; every figure in a unit that fits it. */
export function formatReport(report: Report): string {
  const { machine } = report;
  const about = [
    `${report.benchmark}, scale ${report.scale}, seed ${report.seed}, ${report.startedAt}`,
    `${machine.cores} cores (${machine.cpu}), ${formatValue(machine.memoryBytes, 'bytes')}, ${machine.kernel}, load ${machine.loadAtStart.toFixed(1)} at the start`,
  ];
  const parts = [`${about.join('\n')}\n`, ...report.tables.map(formatResultTable)];
  if (report.goals.length > 0) parts.push(formatGoals(report.goals));
  const lines = [...report.checks.map((check) => `right: ${check}`), ...report.notes];
  if (lines.length > 0) parts.push(`${lines.join('\n')}\n`);
  return parts.join('\n');
}

function formatResultTable({ title, columns, rows }: ResultTable): string {
  const cells = rows.map((row) => columns.map(({ id, unit }) => formatValue(row[id] ?? null, unit)));
  return `${title}\n${formatTable(
    columns.map((column) => column.title),
    cells,
  )}`;
}

function formatGoals(goals: readonly Goal[]): string {
  const rows = goals.map(({ what, measured, limit, unit }) => [
    what,
    formatValue(measured, unit),
    `at most ${formatValue(limit, unit)}`,
    measured === null ? 'not measured' : measured <= limit ? 'reached' : 'missed',
  ]);
  return `To reach\n${formatTable(['WHAT', 'MEASURED', 'GOAL', ''], rows)}`;
}

function formatValue(value: number | string | null, unit: Unit): string {
  if (value === null) return '-';
  if (typeof value === 'string') return value;
  switch (unit) {
    case 'bytes':
      return value >= 1e9 ? `${(value / 1e9).toFixed(2)} GB` : `${(value / 1e6).toFixed(2)} MB`;
    case 'ms':
      return value < 1000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(2)} s`;
    case 'times':
      return value >= 0.1 ? value.toFixed(2) : value > 0 ? `1/${(1 / value).toFixed(1)}` : '0';
    case 'count':
      return value.toLocaleString('en');
    case 'text':
      return String(value);
  }
}
