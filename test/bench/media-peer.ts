import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { initBorg, initRestic } from './dump-store.ts';
import { measureProcess, type Measured } from './measured-process.ts';
import type { MediaRun } from './media-columns.ts';
import type { MediaInput } from './media-input.ts';
import type { PeerProgram } from './peer-programs.ts';
import { RsyncModule } from './rsync-module.ts';
import { assertSameMedia } from './same-media.ts';
import { copyWithSyncthing } from './syncthing-pair.ts';

/** What a program took; `daemonCpuMs`: of its other side, null where it has none. */
export type PeerMeasured = Measured & { daemonCpuMs: number | null };

/** The memory of the other side is not known. */
export function peerRun({ wallMs, daemonCpuMs, ...command }: PeerMeasured): MediaRun {
  const daemon = daemonCpuMs === null ? null : { cpuMs: daemonCpuMs, peakBytes: null };
  return { wallMs, command, daemons: { daemon } };
}

/** A program that copies a tree of media for the first time. */
export type MediaPeer = {
  title: string;
  program: PeerProgram;
  /** Whether the copy is a tree like the source, not a repository of few files. */
  leavesTree: boolean;
  /** Into something new below `directory`, which is there and empty. */
  copy: (input: MediaInput, directory: string) => Promise<MediaRun>;
};

/** Through a daemon on loopback, as the other program on another machine would be; every file synced. */
const rsync: MediaPeer = {
  title: 'rsync -a --fsync',
  program: 'rsync',
  leavesTree: true,
  copy: async ({ root }, directory) => {
    const copy = path.join(directory, 'copy');
    fs.mkdirSync(copy);
    const daemon = await RsyncModule.start(directory, copy);
    try {
      const took = await measureRsync(daemon, ['rsync', '-a', '--fsync', `${root}/`, daemon.url]);
      assertSameMedia('rsync', root, copy);
      return peerRun(took);
    } finally {
      await daemon.stop();
    }
  },
};

/** Into a new repository on the same disk, by `program` with those arguments and the path of the tree. */
const localRepository = (
  program: 'restic' | 'borg',
  init: (directory: string) => { env: Record<string, string> },
  args: readonly string[],
): MediaPeer => ({
  title: `${program}, local`,
  program,
  leavesTree: false,
  copy: async ({ root }, directory) => {
    const { env } = init(directory);
    const took = await measureProcess([program, ...args, root], { env });
    return peerRun({ ...took, daemonCpuMs: null });
  },
});

const restic = localRepository('restic', initRestic, ['backup', '--quiet']);
const borg = localRepository('borg', initBorg, ['create', '::first']);

const syncthing: MediaPeer = {
  title: 'Syncthing',
  program: 'syncthing',
  leavesTree: true,
  copy: copyWithSyncthing,
};

export const mediaPeers = { rsync, restic, borg, syncthing } as const;

/** One run of rsync against a daemon. */
export async function measureRsync(daemon: RsyncModule, argv: readonly string[]): Promise<PeerMeasured> {
  const meter = daemon.meter();
  const took = await measureProcess(argv);
  // what served the connection ends a moment later
  execFileSync('sleep', ['0.2']);
  return { ...took, daemonCpuMs: meter.read().cpuMs };
}
