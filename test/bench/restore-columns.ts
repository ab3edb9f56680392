import type { ResultTable } from './benchmark.ts';

/** What the benchmarks of restores tell of each way to restore. */
export const restoreColumns: ResultTable['columns'] = [
  { id: 'what', title: 'RESTORE', unit: 'text' },
  { id: 'wallMs', title: 'WALL TIME', unit: 'ms' },
  { id: 'ratio', title: 'OURS / THIS', unit: 'times' },
  { id: 'cpuMs', title: 'CPU TIME', unit: 'ms' },
  { id: 'peakBytes', title: 'PEAK MEMORY', unit: 'bytes' },
];
