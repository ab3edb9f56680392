import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { formatTable } from '../../shared/cli/table.ts';
import { killPrograms } from '../support/program.ts';
import type { Benchmark } from './benchmark.ts';
import { dumpHourly } from './dump-hourly.ts';
import { expiry } from './expiry.ts';
import { idle } from './idle.ts';
import { mediaChange } from './media-change.ts';
import { mediaInitial, mediaTiny } from './media-initial.ts';
import { mediaLatency } from './media-latency.ts';
import { mediaRescan } from './media-rescan.ts';
import { neighbour } from './neighbour.ts';
import { ProgramMissingError } from './peer-programs.ts';
import { restoreDatabase } from './restore-database.ts';
import { restoreDump } from './restore-dump.ts';
import { restoreMedia } from './restore-media.ts';
import { runBenchmark } from './run-benchmark.ts';
import { scaleDumps } from './scale-dumps.ts';
import { scale } from './scale.ts';
import { formatReport } from './report.ts';

const benchmarks: readonly Benchmark[] = [
  dumpHourly,
  restoreDump,
  restoreDatabase,
  expiry,
  neighbour,
  mediaInitial,
  mediaTiny,
  mediaLatency,
  mediaRescan,
  mediaChange,
  restoreMedia,
  scale,
  scaleDumps,
  idle,
];

const usage = `usage: npm run bench                              what there is
       npm run bench -- NAME [--json] [--scale S] [--seed N] [--directory DIR]

  --scale S        the size of the input; 1 is that of docs/performance.md
  --seed N         another input of the same shape
  --directory DIR  where to work, on the disk that is to be measured (default: ${os.tmpdir()})
  --json           print one JSON document`;

class UsageError extends Error {}

async function main(): Promise<void> {
  const { name, json, help, ...options } = readArguments();
  if (help) {
    process.stdout.write(`${usage}\n`);
    return;
  }
  if (name === null) {
    const rows = benchmarks.map((benchmark) => [benchmark.name, benchmark.summary]);
    process.stdout.write(formatTable(['NAME', 'WHAT IT MEASURES'], rows));
    return;
  }
  const benchmark = benchmarks.find((candidate) => candidate.name === name);
  if (benchmark === undefined) throw new UsageError(`there is no benchmark "${name}"`);
  const say = (line: string): void => void process.stderr.write(`${benchmark.name}: ${line}\n`);
  const report = await runBenchmark(benchmark, { ...options, say });
  process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report));
}

function readArguments() {
  const { values, positionals } = parse();
  if (positionals.length > 1) throw new UsageError('one benchmark at a time');
  const scale = Number(values.scale ?? '1');
  if (!(scale > 0) || scale > 1000) throw new UsageError(`"${values.scale}" is not a scale`);
  const seed = Number(values.seed ?? '1');
  if (!Number.isSafeInteger(seed)) throw new UsageError(`"${values.seed}" is not a seed`);
  const parent = path.resolve(values.directory ?? os.tmpdir());
  if (!fs.statSync(parent, { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(`${parent} is not a directory`);
  return {
    name: positionals[0] ?? null,
    json: values.json === true,
    help: values.help === true,
    scale,
    seed,
    parent,
  };
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'boolean' },
        scale: { type: 'string' },
        seed: { type: 'string' },
        directory: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  // Our programs are process groups of their own; what is left to remove is removed at the exit.
  process.on(signal, () => {
    killPrograms();
    process.exit(exitCode);
  });
}

try {
  await main();
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`error USAGE: ${error.message}\n${usage}\n`);
    process.exitCode = 2;
  } else if (error instanceof ProgramMissingError) {
    process.stderr.write(`error PROGRAM_MISSING: ${error.message}\n`);
    process.exitCode = 1;
  } else throw error;
}
