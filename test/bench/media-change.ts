import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { SeededRandom } from '../support/seeded-random.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';
import { ArrivalWatch } from './arrival-watch.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult, Row } from './benchmark.ts';
import { median } from './median.ts';
import { findPeers, peerVersion } from './peer-programs.ts';
import { ProcessMeter } from './process-meter.ts';
import { RsyncCopy } from './rsync-copy.ts';
import { SealedPair } from './sealed-pair.ts';

const bytesAtScale1 = 256 * 1024 * 1024;
const rounds = 3;
/** What is still on its way when a batch is durable: the acknowledgement. */
const quietMs = 200;

export const mediaChange: Benchmark = {
  name: 'media-change',
  summary: 'a file of 256 MiB appended, changed, inserted into and renamed: bytes on the link, beside rsync',
  run: async (context) => runMediaChange(context, rounds),
};

/** Changes the file and gives its path afterwards, relative to the root. */
type Change = { what: string; make: (root: string, name: string, random: SeededRandom) => string };

const changes: readonly Change[] = [
  {
    what: '1 MiB appended',
    make: (root, name, random) => {
      fs.appendFileSync(path.join(root, name), random.bytes(1024 * 1024));
      return name;
    },
  },
  {
    what: '4 KiB overwritten in the middle',
    make: (root, name, random) => {
      const file = path.join(root, name);
      const fd = fs.openSync(file, 'r+');
      const middle = Math.floor(fs.fstatSync(fd).size / 2);
      fs.writeSync(fd, random.bytes(4096), 0, 4096, middle);
      fs.closeSync(fd);
      return name;
    },
  },
  {
    what: '1,000 bytes inserted in the middle',
    make: (root, name, random) => {
      const file = path.join(root, name);
      const before = fs.readFileSync(file);
      const middle = Math.floor(before.length / 2);
      const after = [before.subarray(0, middle), random.bytes(1000), before.subarray(middle)];
      fs.writeFileSync(file, Buffer.concat(after));
      return name;
    },
  },
  {
    what: 'renamed',
    make: (root, name, random) => {
      const renamed = `${random.hex(16)}.mp4`;
      fs.renameSync(path.join(root, name), path.join(root, renamed));
      return renamed;
    },
  },
];

type Took = { wallMs: number; linkBytes: number; cpuMs: number };
type Run = { what: string; ours: Took & { receiverCpuMs: number }; rsync: Took | null };

async function runMediaChange(context: BenchmarkContext, runs: number): Promise<BenchmarkResult> {
  const { directory, scale, seed, say } = context;
  const found = findPeers(['rsync'], say);
  const root = path.join(directory, 'media');
  const random = new SeededRandom(seed);
  fs.mkdirSync(root);
  const bytes = Math.ceil(bytesAtScale1 * scale);
  let name = 'video.mp4';
  fs.writeFileSync(path.join(root, name), random.bytes(bytes));
  const rsync = found.has('rsync') ? await RsyncCopy.start(path.join(directory, 'rsync')) : null;
  const closing: (() => unknown)[] = [async () => rsync?.stop()];
  try {
    const pair = await SealedPair.start(path.join(directory, 'mastokeep'), [], {
      countLink: true,
    });
    closing.push(async () => pair.stop());
    say('the first copies');
    await pair.addMirror('media', root);
    await rsync?.copy(root);
    const watch = new ArrivalWatch(
      { agentIndex: path.join(pair.agent.home, 'index.db'), receiverDatabase: pair.mirrorDatabase('media') },
      'media',
    );
    closing.push(() => watch.close());
    const measured: Run[] = [];
    for (let run = 1; run <= runs; run++) {
      for (const { what, make } of changes) {
        say(`${what}, ${run} of ${runs}`);
        const meters = [pair.agent, pair.receiver].map(({ daemon }) => new ProcessMeter(daemon.pid));
        const before = pair.linkBytes;
        name = make(root, name, random);
        const closedAt = performance.now();
        const { mtimeNs } = fs.statSync(path.join(root, name), { bigint: true });
        const { durableAt } = await watch.arrival(name, mtimeNs, closedAt);
        await pause(quietMs);
        const [agent, receiver] = meters.map((meter) => meter.read().cpuMs);
        const ours = {
          wallMs: durableAt - closedAt,
          linkBytes: pair.linkBytes - before,
          cpuMs: agent ?? 0,
          receiverCpuMs: receiver ?? 0,
        };
        measured.push({ what, ours, rsync: (await rsync?.copy(root)) ?? null });
      }
    }
    await pair.agent.must(['wait', '--timeout', '600'], { timeoutMs: 700_000 });
    const copies = [
      { who: 'mastokeep', at: pair.currentDirectory('media') },
      ...(rsync === null ? [] : [{ who: 'rsync', at: rsync.directory }]),
    ];
    const checks = copies.map(({ who, at }) => checkCopy(who, root, at));
    return mediaChangeResult(measured, { bytes, checks, peers: [...found].map(peerVersion) });
  } finally {
    for (const close of closing.toReversed()) await close();
  }
}

/** @throws where the copy is not what the source is */
function checkCopy(who: string, root: string, copy: string): string {
  const { differences } = compareTrees(root, copy, { modes: false, times: false });
  if (differences.length > 0)
    throw new Error(`the copy of ${who} is not right:\n${formatDifferences(differences)}`);
  return `the last copy of ${who} is the source, byte for byte`;
}

function mediaChangeResult(
  measured: readonly Run[],
  { bytes, checks, peers }: { bytes: number; checks: readonly string[]; peers: readonly string[] },
): BenchmarkResult {
  const rows = changes.map(({ what }): Row => {
    const runs = measured.filter((run) => run.what === what);
    const theirs = runs.flatMap(({ rsync }) => rsync ?? []);
    const middle = (of: (run: Run) => number): number => median(runs.map(of));
    const their = (of: (took: Took) => number): number | null =>
      theirs.length === 0 ? null : median(theirs.map(of));
    return {
      what,
      linkBytes: middle(({ ours }) => ours.linkBytes),
      rsyncBytes: their(({ linkBytes }) => linkBytes),
      wallMs: middle(({ ours }) => ours.wallMs),
      rsyncMs: their(({ wallMs }) => wallMs),
      cpuMs: middle(({ ours }) => ours.cpuMs),
      receiverCpuMs: middle(({ ours }) => ours.receiverCpuMs),
    };
  });
  return {
    tables: [
      {
        title: `A file of ${(bytes / 1e6).toFixed(0)} MB changes; medians of ${measured.length / changes.length}`,
        columns: [
          { id: 'what', title: 'CHANGE', unit: 'text' },
          { id: 'linkBytes', title: 'ON THE LINK', unit: 'bytes' },
          { id: 'rsyncBytes', title: 'RSYNC', unit: 'bytes' },
          { id: 'wallMs', title: 'UNTIL DURABLE', unit: 'ms' },
          { id: 'rsyncMs', title: 'RSYNC', unit: 'ms' },
          { id: 'cpuMs', title: 'AGENT CPU', unit: 'ms' },
          { id: 'receiverCpuMs', title: 'RECEIVER CPU', unit: 'ms' },
        ],
        rows,
      },
    ],
    goals: [],
    checks,
    notes: [
      `compared with ${peers.join(', ') || 'nothing'}: rsync -a --fsync --delete into a daemon on loopback`,
      'ours begins by itself, behind the 2 s of stillness that a file of this size must show; rsync is started behind it',
    ],
  };
}
