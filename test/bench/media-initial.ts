import fs from 'node:fs';
import path from 'node:path';
import type { Benchmark, BenchmarkContext, BenchmarkResult } from './benchmark.ts';
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
const inputs: readonly { kind: MediaKind; title: string; limit: number; peers: readonly MediaPeer[] }[] = [
  { kind: 'media', title: 'Mastodon-like media', limit: 1, peers: Object.values(mediaPeers) },
  {
    kind: 'tiny',
    title: 'tiny files',
    limit: 0.6,
    peers: [mediaPeers.rsync, mediaPeers.restic],
  },
];

export const mediaInitial: Benchmark = {
  name: 'media-initial',
  summary:
    'the first copy of 4.0 GB of media, and of 240,000 tiny files, beside rsync --fsync, restic and borg',
  run: runMediaInitial,
};

async function runMediaInitial(context: BenchmarkContext): Promise<BenchmarkResult> {
  const found = findPeers(['rsync', 'restic', 'borg', 'syncthing'], context.say);
  const tables: BenchmarkResult['tables'][number][] = [];
  const goals: BenchmarkResult['goals'][number][] = [];
  for (const { kind, title, limit, peers } of inputs) {
    context.say(`making ${title}`);
    const root = path.join(context.directory, kind);
    const input = makeMediaInput(root, kind, context);
    const usable = peers.filter(({ program }) => found.has(program));
    const measured = await measureFirst(context, input, usable);
    removeTree(root);
    tables.push({
      title: `${title}: ${describeInput(input)}`,
      columns: mediaColumns,
      rows: rowsOf(measured),
    });
    const own = measured.get('mastokeep') ?? [];
    const ratioTo = (peer: MediaPeer): number | null => medianRatio(own, measured.get(peer.title) ?? []);
    goals.push(
      { what: `${title}: first copy / rsync`, measured: ratioTo(mediaPeers.rsync), limit, unit: 'times' },
      ...(peers.includes(mediaPeers.syncthing)
        ? [
            {
              what: `${title}: first copy / Syncthing`,
              measured: ratioTo(mediaPeers.syncthing),
              limit: 1 / 5,
              unit: 'times' as const,
            },
          ]
        : []),
      ...(['agent', 'receiver'] as const).map((side) => ({
        what: `${title}: memory of the ${side}`,
        measured: Math.max(...own.map((run) => run.daemons[side]?.peakBytes ?? 0)),
        limit: memoryLimits[side],
        unit: 'bytes' as const,
      })),
    );
  }
  return {
    tables,
    goals,
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
