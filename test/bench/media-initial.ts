import fs from 'node:fs';
import path from 'node:path';
import type { Benchmark, BenchmarkContext, BenchmarkResult, Goal } from './benchmark.ts';
import { runInTurn } from './in-turn.ts';
import { mediaColumns, mediaRow, medianRatio, type MediaRun } from './media-columns.ts';
import {
  describeInput,
  makeMediaInput,
  removeTree,
  warmUp,
  type MediaInput,
  type MediaKind,
} from './media-input.ts';
import { MediaPair } from './media-pair.ts';
import { mediaPeers, type MediaPeer } from './media-peer.ts';
import { findPeers, peerVersion } from './peer-programs.ts';
import { assertSameMedia } from './same-media.ts';

const runs = 3;
const memoryLimits = { agent: 300e6, receiver: 250e6 };
type Plan = { kind: MediaKind; title: string; limit: number; peers: readonly MediaPeer[] };

export const mediaInitial: Benchmark = {
  name: 'media-initial',
  summary: 'the first copy of 4.0 GB of media, beside rsync --fsync, restic, borg and Syncthing',
  run: async (context) =>
    runFirstCopies(context, {
      kind: 'media',
      title: 'Mastodon-like media',
      limit: 1,
      peers: Object.values(mediaPeers),
    }),
};

export const mediaTiny: Benchmark = {
  name: 'media-tiny',
  summary: 'the first copy of 240,000 files of up to 200 bytes, beside rsync --fsync and restic',
  run: async (context) =>
    runFirstCopies(context, {
      kind: 'tiny',
      title: 'tiny files',
      limit: 0.6,
      peers: [mediaPeers.rsync, mediaPeers.restic],
    }),
};

async function runFirstCopies(
  context: BenchmarkContext,
  { kind, title, limit, peers }: Plan,
): Promise<BenchmarkResult> {
  const found = findPeers(
    peers.map(({ program }) => program),
    context.say,
  );
  context.say(`making ${title}`);
  const input = makeMediaInput(path.join(context.directory, kind), kind, context);
  const usable = peers.filter(({ program }) => found.has(program));
  const measured = await measureFirst(context, input, usable);
  const own = measured.get('mastokeep') ?? [];
  const ratioGoal = (peer: MediaPeer, most: number): Goal => ({
    what: `${title}: first copy / ${peer.title}`,
    measured: medianRatio(own, measured.get(peer.title) ?? []),
    limit: most,
    unit: 'times',
  });
  return {
    tables: [{ title: `${title}: ${describeInput(input)}`, columns: mediaColumns, rows: rowsOf(measured) }],
    goals: [
      ratioGoal(mediaPeers.rsync, limit),
      ...(peers.includes(mediaPeers.syncthing) ? [ratioGoal(mediaPeers.syncthing, 1 / 5)] : []),
      ...(['agent', 'receiver'] as const).map((side): Goal => ({
        what: `${title}: memory of the ${side}`,
        measured: Math.max(...own.map((run) => run.daemons[side]?.peakBytes ?? 0)),
        limit: memoryLimits[side],
        unit: 'bytes',
      })),
    ],
    checks: [
      'the tree on the receiver and that of rsync equal the source after each run: names, sizes, bytes, times to the microsecond',
    ],
    notes: [
      `compared with ${[...found].map(peerVersion).join(', ') || 'nothing'}`,
      'every run into something new; before it the source is read once, so that it is in the page cache, and the disks are synced; trees of earlier runs are removed behind the last one',
      'mastokeep: from the command that adds the folder on until all files are durable on the receiver, over TLS on loopback',
      'rsync: into a daemon on loopback, without TLS; restic and borg: into a local repository, not restored here',
    ],
  };
}

type Candidate = { title: string; leavesTree: boolean; run: (directory: string) => Promise<MediaRun> };

async function measureFirst(
  { directory, say }: BenchmarkContext,
  input: MediaInput,
  peers: readonly MediaPeer[],
): Promise<Map<string, MediaRun[]>> {
  say(describeInput(input));
  const theirs = peers.map((peer): Candidate => ({
    title: peer.title,
    leavesTree: peer.leavesTree,
    run: async (own) => peer.copy(input, own),
  }));
  const candidates: Candidate[] = [
    { title: 'mastokeep', leavesTree: true, run: async (own) => copyOurs(input, own) },
    ...theirs,
  ];
  const copies = path.join(directory, 'copies');
  fs.mkdirSync(copies);
  const results = await runInTurn(candidates, runs, async ({ title, run, leavesTree }, round) => {
    const own = fs.mkdtempSync(path.join(copies, 'run-'));
    warmUp(input);
    const measured = await run(own);
    say(`${round + 1} of ${runs}: ${title}: ${(measured.wallMs / 1000).toFixed(1)} s`);
    // ext4 looks for each new file among the inodes of those that were removed in the last minutes
    if (!leavesTree) removeTree(own);
    return measured;
  });
  removeTree(copies);
  return new Map([...results].map(([{ title }, measured]) => [title, measured]));
}

async function copyOurs(input: MediaInput, directory: string): Promise<MediaRun> {
  const pair = await MediaPair.start(path.join(directory, 'mastokeep'));
  try {
    const { wallMs, agent, receiver } = await pair.copy(input);
    assertSameMedia('mastokeep', input.root, pair.current);
    return { wallMs, command: null, daemons: { agent, receiver } };
  } finally {
    await pair.stop();
  }
}

function rowsOf(measured: ReadonlyMap<string, readonly MediaRun[]>) {
  const own = measured.get('mastokeep') ?? [];
  return [...measured].map(([title, ran]) =>
    mediaRow(title, ran, title === 'mastokeep' ? null : medianRatio(own, ran)),
  );
}
