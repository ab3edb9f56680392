import fs from 'node:fs';
import path from 'node:path';
import type { Benchmark, BenchmarkContext, BenchmarkResult } from './benchmark.ts';
import { runInTurn } from './in-turn.ts';
import { mediaColumns, mediaRow, medianRatio, type MediaRun } from './media-columns.ts';
import { describeInput, makeMediaInput, warmUp } from './media-input.ts';
import { MediaPair } from './media-pair.ts';
import { measureRsync, peerRun } from './media-peer.ts';
import { findPeers, peerVersion } from './peer-programs.ts';
import { RsyncModule } from './rsync-module.ts';
import { assertSameMedia } from './same-media.ts';

const runs = 3;
const rsyncTitle = 'rsync -a back, then sync';

export const restoreMedia: Benchmark = {
  name: 'restore-media',
  summary: '4.0 GB of media back onto an empty server, beside rsync back',
  run: runRestoreMedia,
};

type Candidate = { title: string; restored: string; run: (to: string) => Promise<MediaRun> };

async function runRestoreMedia(context: BenchmarkContext): Promise<BenchmarkResult> {
  const { directory, say } = context;
  const found = findPeers(['rsync'], say);
  say('making media');
  const input = makeMediaInput(path.join(directory, 'media'), 'media', context);
  say(describeInput(input));
  const pair = await MediaPair.start(path.join(directory, 'mastokeep'));
  let daemon: RsyncModule | null = null;
  try {
    await pair.copy(input);
    await pair.settle();
    await pair.agent.stop();
    const candidates: Candidate[] = [
      { title: 'mastokeep', restored: 'media', run: async (to) => restoreOurs(pair, to) },
    ];
    if (found.has('rsync')) {
      const served = await RsyncModule.start(directory, pair.current);
      daemon = served;
      candidates.push({ title: rsyncTitle, restored: '', run: async (to) => runRsyncBack(served, to) });
    }
    const results = await runInTurn(candidates, runs, async ({ title, restored, run }, round) => {
      // They stay until the end: right behind the removal of a large tree it takes ext4 longer to find inodes.
      const to = path.join(directory, `restored-${round}-${restored}`);
      fs.mkdirSync(to);
      warmUp({ root: pair.current });
      const measured = await run(to);
      say(`${round + 1} of ${runs}: ${title}: ${(measured.wallMs / 1000).toFixed(1)} s`);
      assertSameMedia(title, input.root, path.join(to, restored));
      return measured;
    });
    const measured = new Map([...results].map(([{ title }, ran]) => [title, ran]));
    const own = measured.get('mastokeep') ?? [];
    return {
      tables: [
        {
          title: `Back onto an empty server: ${describeInput(input)}`,
          columns: mediaColumns,
          rows: [...measured].map(([title, ran]) =>
            mediaRow(title, ran, title === 'mastokeep' ? null : medianRatio(own, ran)),
          ),
        },
      ],
      goals: [
        {
          what: 'restore of media / rsync back',
          measured: medianRatio(own, measured.get(rsyncTitle) ?? []),
          limit: 1,
          unit: 'times',
        },
      ],
      checks: ['every restored tree equals the source: names, sizes, bytes, times to the microsecond'],
      notes: [
        `compared with ${[...found].map(peerVersion).join(', ') || 'nothing'}`,
        'what is restored is read once before each run, so that it is in the page cache, and the disks are synced',
        'both end when the file system of the target was synced; rsync without TLS, and without modes and owners, which only our journal has',
      ],
    };
  } finally {
    await daemon?.stop();
    await pair.stop();
  }
}

async function restoreOurs(pair: MediaPair, to: string): Promise<MediaRun> {
  const { took, receiver } = await pair.restore(to);
  const { wallMs, ...command } = took;
  return { wallMs, command, daemons: { receiver } };
}

async function runRsyncBack(daemon: RsyncModule, to: string): Promise<MediaRun> {
  const script = 'rsync -a "$1" "$2" && sync -f "$2"';
  return peerRun(await measureRsync(daemon, ['sh', '-c', script, 'sh', daemon.url, to]));
}
