import { expect, it } from 'vitest';
import { median } from '../../bench/median.ts';
import { formatReport, type Report } from '../../bench/report.ts';

const report: Report = {
  benchmark: 'toy',
  scale: 0.5,
  seed: 7,
  startedAt: '2026-01-02T03:04:05.000Z',
  durationMs: 1000,
  machine: { cores: 2, memoryBytes: 25e9, cpu: 'a CPU', kernel: 'Linux 6', loadAtStart: 0.25 },
  tables: [
    {
      title: 'Sizes',
      columns: [
        { id: 'what', title: 'WHAT', unit: 'text' },
        { id: 'bytes', title: 'SIZE', unit: 'bytes' },
        { id: 'ms', title: 'TIME', unit: 'ms' },
        { id: 'times', title: 'RATIO', unit: 'times' },
      ],
      rows: [
        { what: 'small', bytes: 1_234_567, ms: 12, times: 1.5 },
        { what: 'large', bytes: 2_500_000_000, ms: 61_500, times: 1 / 16 },
        { what: 'none', bytes: null, ms: null, times: null },
      ],
    },
  ],
  goals: [
    { what: 'fast', measured: 1.2, limit: 1.2, unit: 'times' },
    { what: 'small', measured: 1 / 11, limit: 1 / 12, unit: 'times' },
    { what: 'unknown', measured: null, limit: 1, unit: 'times' },
  ],
  checks: ['all came back'],
  notes: ['a note'],
};

it('prints a table for people, with units that fit, and what was reached, missed or not measured', () => {
  expect(formatReport(report)).toBe(`toy, scale 0.5, seed 7, 2026-01-02T03:04:05.000Z
2 cores (a CPU), 25.00 GB, Linux 6, load 0.3 at the start

Sizes
WHAT   SIZE     TIME     RATIO
small  1.23 MB  12 ms    1.50
large  2.50 GB  61.50 s  1/16.0
none   -        -        -

To reach
WHAT     MEASURED  GOAL
fast     1.20      at most 1.20    reached
small    1/11.0    at most 1/12.0  missed
unknown  -         at most 1.00    not measured

right: all came back
a note
`);
});

it('takes the middle, between two the mean, and of nothing none', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([10, 1, 2, 4])).toBe(3);
  expect(() => median([])).toThrow(RangeError);
});
