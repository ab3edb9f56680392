import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { startPostgres } from '../support/postgres.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';
import { ArrivalWatch, type Arrival } from './arrival-watch.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult, Goal, Row } from './benchmark.ts';
import { requirePostgres } from './peer-programs.ts';
import { percentile } from './percentile.ts';
import { ProcessMeter } from './process-meter.ts';
import { SealedPair } from './sealed-pair.ts';
import { statusesOfScale } from './statuses-of-scale.ts';
import { UploadStream } from './upload-stream.ts';

const filesAtScale1 = 31_800;
const [medianMsMax, longestMsMax, agentPeakBytesMax] = [700, 2000, 300e6];

/** `quietMs`: of new files while nothing else happens; `hours`: so many dumps, each of a database that is an hour older. */
type Plan = { quietMs: number; warmUpHours: number; hours: number };

type Phase = {
  what: string;
  arrivals: readonly Arrival[];
  wallMs: number;
  agent: { cpuMs: number; peakBytes: number };
  receiver: { cpuMs: number; peakBytes: number };
};

export const mediaLatency: Benchmark = {
  name: 'media-latency',
  summary:
    'how soon a new file of up to 1 MiB is durable on the receiver, at 20 a second, alone and during dumps of 0.85 GB',
  run: async (context) => runMediaLatency(context, { quietMs: 60_000, warmUpHours: 24, hours: 6 }),
};

async function runMediaLatency(context: BenchmarkContext, plan: Plan): Promise<BenchmarkResult> {
  const { directory, scale, seed, say } = context;
  requirePostgres();
  const root = path.join(directory, 'media');
  const outside = path.join(directory, 'outside');
  fs.mkdirSync(outside);
  const files = Math.ceil(filesAtScale1 * scale);
  const statuses = statusesOfScale(scale);
  say(`making a tree of ${files.toLocaleString('en')} files and ${statuses.toLocaleString('en')} statuses`);
  MastodonTree.make(root, { seed, files, medianBytes: 300 });
  const server = await startPostgres();
  const closing: (() => unknown)[] = [() => server.stop()];
  try {
    const database = await MastodonDatabase.create(server, 'mastodon', { seed, statuses });
    await database.churn(plan.warmUpHours);
    const sealed = [{ id: 'postgres', source: ['--postgres', database.connection()] }];
    const pair = await SealedPair.start(path.join(directory, 'mastokeep'), sealed, {
      countLink: false,
    });
    closing.push(async () => pair.stop());
    say('the first copy of the tree, and the first dump');
    await pair.addMirror('media', root);
    await pair.dump('postgres');
    const watch = new ArrivalWatch(
      { agentIndex: path.join(pair.agent.home, 'index.db'), receiverDatabase: pair.mirrorDatabase('media') },
      'media',
    );
    closing.push(() => watch.close());
    const phase = async (what: string, work: () => Promise<unknown>): Promise<Phase> => {
      const meters = [pair.agent, pair.receiver].map(({ daemon }) => new ProcessMeter(daemon.pid));
      const startedAt = performance.now();
      const uploads = new UploadStream(root, outside, watch, `${seed} ${what}`);
      await work();
      const arrivals = await uploads.stop();
      const [agent, receiver] = meters.map((meter) => meter.read());
      if (agent === undefined || receiver === undefined) throw new Error('two processes are measured');
      return { what, arrivals, wallMs: performance.now() - startedAt, agent, receiver };
    };
    say('20 new files a second');
    const quiet = await phase('nothing else', () => pause(plan.quietMs));
    const hours: Phase[] = [];
    for (let hour = 1; hour <= plan.hours; hour++) {
      await database.churn(1);
      say(`20 new files a second during dump ${hour} of ${plan.hours}`);
      hours.push(await phase(`dump ${hour}`, () => pair.dump('postgres')));
    }
    say('comparing the trees');
    const checks = [checkCopy(root, pair.currentDirectory('media'))];
    return mediaLatencyResult({ quiet, hours, checks, files });
  } finally {
    for (const close of closing.toReversed()) await close();
  }
}

/** @throws where a file of the copy is not what it is in the source */
function checkCopy(root: string, copy: string): string {
  const compared = compareTrees(root, copy, { modes: false, times: false, emptyDirectories: false });
  if (compared.differences.length > 0)
    throw new Error(`the copy is not right:\n${formatDifferences(compared.differences)}`);
  return `all ${compared.files.toLocaleString('en')} files of the copy are those of the source, byte for byte`;
}

function mediaLatencyResult({
  quiet,
  hours,
  checks,
  files,
}: {
  quiet: Phase;
  hours: readonly Phase[];
  checks: readonly string[];
  files: number;
}): BenchmarkResult {
  const during: Phase = {
    what: 'during dumps',
    arrivals: hours.flatMap(({ arrivals }) => arrivals),
    wallMs: hours.reduce((sum, { wallMs }) => sum + wallMs, 0),
    agent: joined(hours.map(({ agent }) => agent)),
    receiver: joined(hours.map(({ receiver }) => receiver)),
  };
  const goals = [quiet, during].flatMap(({ what, arrivals }): Goal[] => {
    const took = arrivals.map(({ closedAt, durableAt }) => durableAt - closedAt);
    return [
      { what: `${what}: median`, measured: percentile(took, 0.5), limit: medianMsMax, unit: 'ms' },
      { what: `${what}: 99th percentile`, measured: percentile(took, 0.99), limit: longestMsMax, unit: 'ms' },
    ];
  });
  return {
    tables: [
      {
        title: `From the close or rename of a new file until it is durable on the receiver, beside ${files.toLocaleString('en')} others`,
        columns: [
          { id: 'what', title: 'WHAT ELSE', unit: 'text' },
          { id: 'files', title: 'FILES', unit: 'count' },
          { id: 'medianMs', title: 'MEDIAN', unit: 'ms' },
          { id: 'ninetiethMs', title: '90 %', unit: 'ms' },
          { id: 'ninetyNinthMs', title: '99 %', unit: 'ms' },
          { id: 'longestMs', title: 'LONGEST', unit: 'ms' },
          { id: 'indexedMs', title: 'IN THE INDEX, MEDIAN', unit: 'ms' },
          { id: 'indexedNinetyNinthMs', title: '99 %', unit: 'ms' },
          { id: 'wallMs', title: 'TIME', unit: 'ms' },
          { id: 'agentCpuMs', title: 'AGENT CPU', unit: 'ms' },
          { id: 'receiverCpuMs', title: 'RECEIVER CPU', unit: 'ms' },
          { id: 'agentPeakBytes', title: 'AGENT PEAK', unit: 'bytes' },
          { id: 'receiverPeakBytes', title: 'RECEIVER PEAK', unit: 'bytes' },
        ],
        rows: [quiet, ...hours, during].map(rowOf),
      },
    ],
    goals: [
      ...goals,
      {
        what: 'memory of the agent',
        measured: Math.max(quiet.agent.peakBytes, during.agent.peakBytes),
        limit: agentPeakBytesMax,
        unit: 'bytes',
      },
    ],
    checks,
    notes: [
      'in the index: until the agent has committed it, most of it is the 300 ms of stillness that a file must show',
      'a dump also begins a full scan of the tree; the time of the phase ends when the last file is durable',
    ],
  };
}

function rowOf({ what, arrivals, wallMs, agent, receiver }: Phase): Row {
  const took = arrivals.map(({ closedAt, durableAt }) => durableAt - closedAt);
  const indexed = arrivals.map(({ closedAt, indexedAt }) => indexedAt - closedAt);
  return {
    what,
    files: took.length,
    medianMs: percentile(took, 0.5),
    ninetiethMs: percentile(took, 0.9),
    ninetyNinthMs: percentile(took, 0.99),
    longestMs: percentile(took, 1),
    indexedMs: percentile(indexed, 0.5),
    indexedNinetyNinthMs: percentile(indexed, 0.99),
    wallMs,
    agentCpuMs: agent.cpuMs,
    receiverCpuMs: receiver.cpuMs,
    agentPeakBytes: agent.peakBytes,
    receiverPeakBytes: receiver.peakBytes,
  };
}

function joined(parts: readonly { cpuMs: number; peakBytes: number }[]): {
  cpuMs: number;
  peakBytes: number;
} {
  return {
    cpuMs: parts.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    peakBytes: Math.max(...parts.map(({ peakBytes }) => peakBytes)),
  };
}
