import fs from 'node:fs';
import path from 'node:path';
import type { Benchmark, BenchmarkContext, BenchmarkResult } from './benchmark.ts';
import { runInTurn } from './in-turn.ts';
import { measureProcess } from './measured-process.ts';
import { mediaColumns, mediaRow, medianRatio, type MediaRun } from './media-columns.ts';
import { describeInput, makeMediaInput, warmUp } from './media-input.ts';
import { MediaPair } from './media-pair.ts';
import { measureRsync, peerRun } from './media-peer.ts';
import { findPeers, peerVersion } from './peer-programs.ts';
import { RsyncModule } from './rsync-module.ts';

const [runs, looks] = [5, 20];
const [findTitle, rsyncTitle] = ["find -printf '%s %T@'", 'rsync -a --fsync'];

export const mediaRescan: Benchmark = {
  name: 'media-rescan',
  summary:
    'a full scan of 4.0 GB of media in which nothing changed, beside find and rsync, and a look at what is recent',
  run: runMediaRescan,
};

type Candidate = { title: string; run: () => Promise<MediaRun> };

async function runMediaRescan(context: BenchmarkContext): Promise<BenchmarkResult> {
  const { directory, say } = context;
  const found = findPeers(['rsync'], say);
  say('making media');
  const input = makeMediaInput(path.join(directory, 'media'), 'media', context);
  say(describeInput(input));
  const copy = path.join(directory, 'copy');
  fs.mkdirSync(copy);
  const daemon = found.has('rsync') ? await RsyncModule.start(directory, copy) : null;
  const pair = await MediaPair.start(path.join(directory, 'mastokeep'));
  try {
    await pair.copy(input);
    await pair.settle();
    const candidates: Candidate[] = [
      { title: 'mastokeep', run: async () => scanOurs(pair) },
      { title: findTitle, run: async () => runFind(input.root) },
    ];
    if (daemon !== null) {
      const argv = ['rsync', '-a', '--fsync', `${input.root}/`, daemon.url];
      await measureRsync(daemon, argv);
      candidates.push({ title: rsyncTitle, run: async () => peerRun(await measureRsync(daemon, argv)) });
    }
    warmUp(input);
    const results = await runInTurn(candidates, runs, async ({ title, run }, round) => {
      const measured = await run();
      say(`${round + 1} of ${runs}: ${title}: ${(measured.wallMs / 1000).toFixed(2)} s`);
      return measured;
    });
    say(`${looks} looks at what is recent`);
    const lookMs = await pair.lookAtRecent(looks);
    const measured = new Map([...results].map(([{ title }, ran]) => [title, ran]));
    return rescanResult(measured, lookMs, {
      input: describeInput(input),
      versions: [...found].map(peerVersion),
    });
  } finally {
    await pair.stop();
    await daemon?.stop();
  }
}

async function scanOurs(pair: MediaPair): Promise<MediaRun> {
  const { wallMs, agent, receiver } = await pair.scan();
  return { wallMs, command: null, daemons: { agent, receiver } };
}

async function runFind(root: string): Promise<MediaRun> {
  const { wallMs, ...command } = await measureProcess(['find', root, '-printf', '%s %T@\n']);
  return { wallMs, command, daemons: {} };
}

function rescanResult(
  measured: ReadonlyMap<string, readonly MediaRun[]>,
  lookMs: number,
  about: { input: string; versions: readonly string[] },
): BenchmarkResult {
  const own = measured.get('mastokeep') ?? [];
  const find = measured.get(findTitle) ?? [];
  return {
    tables: [
      {
        title: `Nothing changed: ${about.input}`,
        columns: mediaColumns,
        rows: [...measured].map(([title, ran]) =>
          mediaRow(title, ran, title === 'mastokeep' ? null : medianRatio(own, ran)),
        ),
      },
      {
        title: `A look at the directories that changed last, mean of ${looks}`,
        columns: [{ id: 'cpuMs', title: 'CPU TIME', unit: 'ms' }],
        rows: [{ cpuMs: lookMs }],
      },
    ],
    goals: [
      { what: 'full scan / find', measured: medianRatio(own, find), limit: 2, unit: 'times' },
      {
        what: 'memory of the agent',
        measured: Math.max(...own.map(({ daemons }) => daemons['agent']?.peakBytes ?? 0)),
        limit: 300e6,
        unit: 'bytes',
      },
    ],
    checks: ['no scan found a change'],
    notes: [
      `compared with ${['find', ...about.versions].join(', ')}`,
      'time of mastokeep: from the beginning to the end of the scan in the running agent; the page cache is warm for all',
      'a look: all CPU time of the agent at rest, so an upper bound',
    ],
  };
}
