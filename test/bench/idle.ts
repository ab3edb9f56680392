import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { MastodonTree } from '../support/mastodon-tree.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult, Row } from './benchmark.ts';
import { median } from './median.ts';
import { ProcessMeter } from './process-meter.ts';
import { SealedPair } from './sealed-pair.ts';

const filesAtScale1 = 40_000;
/** A minute, in which the recent directories are looked at once. */
const idleMs = 60_000;
const sampleMs = 1000;
/** The first look at the recent directories compares them in full; that is over by then. */
const settledMs = 80_000;

export const idle: Benchmark = {
  name: 'idle',
  summary: 'what agent and receiver cost in a minute without change, with 40,000 files: processor and memory',
  run: async (context) => runIdle(context, { idleMs, settledMs }),
};

type Plan = { idleMs: number; settledMs: number };
/** `share`: of one core; `residentBytes`: the median of one value a second. */
type Idle = { share: number; residentBytes: number; peakBytes: number };
type Measured = { what: string; agent: Idle; receiver: Idle };

async function runIdle(
  { directory, scale, seed, say }: BenchmarkContext,
  plan: Plan,
): Promise<BenchmarkResult> {
  const files = Math.ceil(filesAtScale1 * scale);
  const root = path.join(directory, 'media');
  say(`making ${files.toLocaleString('en')} files`);
  MastodonTree.make(root, { seed, files, medianBytes: 100 });
  const measured: Measured[] = [];
  for (const compiled of [true, false]) {
    const program = compiled ? 'installed' : 'from sources';
    say(`${program}: the first copy`);
    const pair = await SealedPair.start(path.join(directory, program.replaceAll(' ', '-')), [], {
      countLink: false,
      compiled,
    });
    try {
      await pair.addMirror('media', root);
      const idle = async (when: string): Promise<void> => {
        const what = `${program}, ${when}`;
        say(what);
        await pause(plan.settledMs);
        const of = [pair.agent, pair.receiver].map(({ daemon }) => measureIdle(daemon.pid, plan.idleMs));
        const [agent, receiver] = await Promise.all(of);
        if (agent === undefined || receiver === undefined) throw new Error('two processes are measured');
        measured.push({ what, agent, receiver });
      };
      await idle('after the first copy');
      for (const device of [pair.agent, pair.receiver]) {
        await device.stop();
        await device.start();
      }
      await idle('started anew');
    } finally {
      await pair.stop();
    }
  }
  return idleResult(measured, files, plan);
}

async function measureIdle(pid: number, forMs: number): Promise<Idle> {
  const meter = new ProcessMeter(pid);
  const resident: number[] = [];
  const startedAt = performance.now();
  while (performance.now() - startedAt < forMs) {
    await pause(sampleMs);
    resident.push(residentBytes(pid));
  }
  const { cpuMs, peakBytes } = meter.read();
  return {
    share: cpuMs / (performance.now() - startedAt),
    residentBytes: median(resident),
    peakBytes,
  };
}

function residentBytes(pid: number): number {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

function idleResult(measured: readonly Measured[], files: number, plan: Plan): BenchmarkResult {
  const installed = measured.filter(({ what }) => what.startsWith('installed'));
  return {
    tables: [
      {
        title: `${plan.idleMs / 1000} seconds without change, ${files.toLocaleString('en')} files, receiver connected`,
        columns: [
          { id: 'what', title: 'PROGRAM', unit: 'text' },
          { id: 'agentShare', title: 'AGENT: PER CENT OF A CORE', unit: 'times' },
          { id: 'agentBytes', title: 'RESIDENT', unit: 'bytes' },
          { id: 'agentPeakBytes', title: 'PEAK', unit: 'bytes' },
          { id: 'receiverShare', title: 'RECEIVER: PER CENT', unit: 'times' },
          { id: 'receiverBytes', title: 'RESIDENT', unit: 'bytes' },
        ],
        rows: measured.map(({ what, agent, receiver }): Row => ({
          what,
          agentShare: agent.share * 100,
          agentBytes: agent.residentBytes,
          agentPeakBytes: agent.peakBytes,
          receiverShare: receiver.share * 100,
          receiverBytes: receiver.residentBytes,
        })),
      },
    ],
    goals: [
      {
        what: 'agent, installed: per cent of a core',
        measured: Math.max(...installed.map(({ agent }) => agent.share)) * 100,
        limit: 1,
        unit: 'times',
      },
      {
        what: 'agent, installed: resident',
        measured: Math.max(...installed.map(({ agent }) => agent.residentBytes)),
        limit: 120e6,
        unit: 'bytes',
      },
    ],
    checks: [],
    notes: ['the full scan of every hour is not in the minute, the look at recent directories is'],
  };
}
