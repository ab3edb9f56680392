import { type RestoreResult, runRestore, type RunRestoreOptions } from '../../agent/restore/run-restore.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { UnsealerSource } from '../../agent/restore/command-unsealers.ts';
import { silentDisplay } from '../../agent/restore/progress-display.ts';
import { RestoreLeases } from '../../receiver/serve/restore-lease.ts';
import { serveRestore } from '../../receiver/serve/restore-session.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { createChannelPair, type ChannelPairOptions } from './channel-pair.ts';
import { contentOf, type MemoryHistory } from './memory-history.ts';
import { noHeldPoints } from './no-held-points.ts';

export const benchAgent = 'AGENT' as DeviceId;

const restoreDefaults: RunRestoreOptions = {
  to: null,
  folders: [],
  paths: [],
  at: null,
  point: null,
  dryRun: false,
  inPlace: false,
  keepOwners: process.getuid?.() === 0,
  agentId: null,
  programVersion: 'test',
  patienceMs: 30_000,
  answerTimeoutMs: 30_000,
};

/** A receiver in memory; every link that the restore asks for is a new session with it. */
export type BenchReceiver = {
  nextChannel(): Promise<Channel>;
  links: number;
  notes: string[];
  leases: RestoreLeases;
};

export function createBenchReceiver(
  histories: readonly MemoryHistory[],
  options: ChannelPairOptions & { now?: () => number } = {},
): BenchReceiver {
  const now = options.now ?? (() => 1_800_000_000_000);
  const grant = { role: 'restore', agentId: benchAgent } as const;
  const receiver: BenchReceiver = {
    links: 0,
    notes: [],
    leases: new RestoreLeases(now),
    nextChannel: async () => {
      receiver.links += 1;
      const [restorer, served] = createChannelPair({ ...options, firstGrant: grant, secondGrant: grant });
      void serveRestore({
        channel: served,
        openHistory: async (agentId) => {
          const own = agentId === benchAgent ? histories : [];
          return {
            folders: own.map((history) => history.folder()),
            content: contentOf(own),
            points: noHeldPoints,
          };
        },
        leases: receiver.leases,
        now,
        programVersion: 'test',
        logger: silentLogger,
      });
      return restorer;
    },
  };
  return receiver;
}

const noKey: UnsealerSource = {
  open: async () => {
    throw new CodedError('KEY_WRONG', 'the test gave no key');
  },
  close: async () => {},
};

/** Runs a restore against anything that gives channels. */
export function restoreFrom(
  receiver: { nextChannel(signal: AbortSignal): Promise<Channel>; notes?: string[] },
  options: Partial<RunRestoreOptions>,
  configuredPath: (folder: string) => string | null = () => null,
  unsealers: UnsealerSource | null = noKey,
): Promise<RestoreResult> {
  const display = { ...silentDisplay, note: (line: string) => void receiver.notes?.push(line) };
  return runRestore(
    { nextChannel: (signal) => receiver.nextChannel(signal), display, configuredPath, unsealers },
    { ...restoreDefaults, ...options },
  );
}
