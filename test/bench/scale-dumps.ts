import path from 'node:path';
import fs from 'node:fs';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult, Goal, Row } from './benchmark.ts';
import { DatabaseDump } from './database-dump.ts';
import { fileHash } from './file-hash.ts';
import { requirePostgres } from './peer-programs.ts';
import { SealedPair, type DumpMeasured } from './sealed-pair.ts';
import { statusesOfScale } from './statuses-of-scale.ts';

/** Of a database whose dump has 0.85 GB: dumps of 0.1, 1 and 5 GB. */
const sizesAtScale1 = [0.1 / 0.85, 1 / 0.85, 5 / 0.85];
const agentPeakBytesMax = 300e6;

/** What a dump costs as it grows; see docs/performance.md#scale-dumps. */
export const scaleDumps: Benchmark = {
  name: 'scale-dumps',
  summary: 'a first dump, and one an hour later, of 0.1, 1 and 5 GB: time and memory',
  run: async (context) => {
    requirePostgres();
    const measured: Measured[] = [];
    for (const size of sizesAtScale1) measured.push(await measureDumps(context, size * context.scale));
    return scaleDumpsResult(measured);
  },
};

type Measured = { dumpBytes: number; first: DumpMeasured; hour: DumpMeasured };

async function measureDumps({ directory, seed, say }: BenchmarkContext, size: number): Promise<Measured> {
  const statuses = statusesOfScale(size);
  const place = path.join(directory, String(statuses));
  fs.mkdirSync(place);
  const server = await startPostgres();
  try {
    say(`making a database of ${statuses.toLocaleString('en')} statuses`);
    const database = await MastodonDatabase.create(server, 'mastodon', { seed, statuses });
    await database.churn(1);
    const dump = new DatabaseDump(path.join(place, 'hour.dump'), database);
    const dumpBytes = await dump.make();
    const options = { countLink: true };
    const pair = await SealedPair.start(path.join(place, 'mastokeep'), [dump.asCommand], options);
    try {
      say(`a first dump of ${(dumpBytes / 1e6).toFixed(0)} MB`);
      const first = await pair.dump('bytes');
      await database.churn(1);
      await dump.make();
      say('an hour later');
      const hour = await pair.dump('bytes');
      await pair.restore('bytes', ['--to', path.join(place, 'restored')]);
      const restored = path.join(place, 'restored', 'bytes', 'output');
      if ((await fileHash(restored)) !== (await fileHash(dump.file)))
        throw new Error('another dump comes back than was sealed');
      return { dumpBytes, first, hour };
    } finally {
      await pair.stop();
    }
  } finally {
    await server.stop();
    fs.rmSync(place, { recursive: true });
  }
}

function scaleDumpsResult(measured: readonly Measured[]): BenchmarkResult {
  const [largest, before] = [measured.at(-1), measured.at(-2)];
  if (largest === undefined || before === undefined) throw new Error('several sizes are measured');
  const rows = measured.flatMap(({ dumpBytes, first, hour }): Row[] =>
    (
      [
        ['first', first],
        ['an hour later', hour],
      ] as const
    ).map(([what, took]) => ({
      dumpBytes,
      what,
      wallMs: took.wallMs,
      msPerMegabyte: took.wallMs / (dumpBytes / 1e6),
      durableMs: took.durableMs,
      agentCpuMs: took.agent.cpuMs,
      agentPeakBytes: took.agent.peakBytes,
      receiverCpuMs: took.receiver.cpuMs,
      receiverPeakBytes: took.receiver.peakBytes,
      linkBytes: took.linkBytes,
    })),
  );
  const perByte = ({ dumpBytes, first }: Measured): number => first.wallMs / dumpBytes;
  const goals: Goal[] = [
    {
      what: 'first dump, time per byte: largest / the one before',
      measured: perByte(largest) / perByte(before),
      limit: 1.25,
      unit: 'times',
    },
    {
      what: 'memory of the agent',
      measured: Math.max(
        ...measured.flatMap(({ first, hour }) => [first.agent.peakBytes, hour.agent.peakBytes]),
      ),
      limit: agentPeakBytesMax,
      unit: 'bytes',
    },
  ];
  return {
    tables: [
      {
        title: 'Dumps from a file, durable on a receiver of the same machine',
        columns: [
          { id: 'dumpBytes', title: 'DUMP', unit: 'bytes' },
          { id: 'what', title: 'WHICH', unit: 'text' },
          { id: 'wallMs', title: 'TIME', unit: 'ms' },
          { id: 'msPerMegabyte', title: 'MS A MB', unit: 'times' },
          { id: 'durableMs', title: 'DURABLE', unit: 'ms' },
          { id: 'agentCpuMs', title: 'AGENT CPU', unit: 'ms' },
          { id: 'agentPeakBytes', title: 'PEAK', unit: 'bytes' },
          { id: 'receiverCpuMs', title: 'RECEIVER CPU', unit: 'ms' },
          { id: 'receiverPeakBytes', title: 'PEAK', unit: 'bytes' },
          { id: 'linkBytes', title: 'SENT', unit: 'bytes' },
        ],
        rows,
      },
    ],
    goals,
    checks: ['the last dump of each size came back byte for byte'],
    notes: [],
  };
}
