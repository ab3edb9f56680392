import { temporaryDirectory } from '../support/temporary-directory.ts';
import { describeMachine, type Report } from './report.ts';
import type { Benchmark, BenchmarkContext } from './benchmark.ts';

type RunOptions = Pick<BenchmarkContext, 'scale' | 'seed' | 'say'> & {
  /** Where the working directory is made, which is removed when the process ends. */
  parent: string;
};

/** Runs one benchmark in a directory of its own and adds what is known of the machine. */
export async function runBenchmark(
  benchmark: Benchmark,
  { parent, ...options }: RunOptions,
): Promise<Report> {
  const machine = describeMachine();
  const startedAt = new Date();
  const result = await benchmark.run({ ...options, directory: temporaryDirectory(parent) });
  return {
    benchmark: benchmark.name,
    scale: options.scale,
    seed: options.seed,
    startedAt: startedAt.toISOString(),
    durationMs: Date.now() - startedAt.getTime(),
    machine,
    ...result,
  };
}
