import type { DaemonLife } from '../shared/cli/run-daemon.ts';
import { CodedError } from '../shared/errors/coded-error.ts';
import { writeFileAtomic } from '../shared/io/atomic-file.ts';
import { readConfigText } from '../shared/io/config-file.ts';
import type { Home } from '../shared/io/home.ts';
import type { PairingDesk } from '../shared/link/pairing-desk.ts';
import { programVersion } from '../shared/program-version.ts';
import { assertFolderOutsideHome } from './assert-folder-outside-home.ts';
import type { AgentCommands, AgentStatus, ScanSummary } from './agent-commands.ts';
import { addFolderText, parseAgentConfig, readAgentConfig, type FolderConfig } from './config.ts';
import type { DumpedWithPins } from './dump-and-wait.ts';
import { assertKeepsSealed, describeOverlaps } from './folder-overlaps.ts';
import { readPause, removePause, writePause, type Pause } from './pause-file.ts';

/** What only a running agent can do. */
export type RunningAgent = {
  life: DaemonLife;
  status(): AgentStatus;
  /** So that `status` speaks of the keys that are there now. */
  lookAtKeys(): Promise<void>;
  /** @throws CodedError FOLDER_UNKNOWN, SOURCE_STOPPED, FOLDER_PAUSED */
  scan(folder: string | null): Promise<ScanSummary[]>;
  /** @throws CodedError TIMED_OUT, SOURCE_STOPPED, FOLDER_PAUSED */
  wait(options: { copies: number; timeoutMs: number; signal: AbortSignal }): Promise<ScanSummary[]>;
  /** @throws CodedError FOLDER_UNKNOWN, FOLDER_PAUSED, SOURCE_FAILED, SPOOL_FULL, TIMED_OUT */
  dump(options: {
    folder: string | null;
    pin: string | null;
    copies: number;
    timeoutMs: number;
    signal: AbortSignal;
  }): Promise<DumpedWithPins>;
  /** @throws CodedError FOLDER_UNKNOWN, SOURCE_STOPPED */
  accept(folder: string): Promise<boolean>;
  pause(pause: Pause | null): Promise<void>;
  startFolder(folder: FolderConfig): Promise<void>;
};

/** The commands over the files of a home; `running` is null where the program does not run (the caller holds the lock). */
export function createAgentCommands(deps: {
  home: Home;
  desk: PairingDesk;
  running: RunningAgent | null;
  now: () => number;
}): AgentCommands {
  const { home, desk, now } = deps;
  const running = (): RunningAgent => {
    if (deps.running === null) throw new CodedError('NOT_RUNNING', `nothing runs on ${home.directory}`);
    return deps.running;
  };
  return {
    about: async () => ({
      pid: process.pid,
      version: programVersion,
      life: deps.running?.life.number ?? 0,
    }),
    reload: async () => {
      readAgentConfig(home);
      running().life.reload();
      return {};
    },
    invite: async () => desk.invite({ role: 'replica' }),
    join: async ({ invitation }, signal) => {
      const { deviceId } = await desk.join(invitation, null, signal ?? new AbortController().signal);
      return { deviceId };
    },
    pair: async ({ deviceId, addresses }) => {
      const peer = desk.pair(deviceId, { role: 'replica' }, addresses);
      return { deviceId: peer.deviceId };
    },
    unpair: async ({ deviceId }) => ({ deviceId: desk.unpair(deviceId) }),
    addFolder: async ({ folder }) => {
      assertFolderOutsideHome(folder, home);
      const known = readConfigText(home.configFile);
      const text = addFolderText(known, home.configFile, folder);
      const { folders } = parseAgentConfig(known, home.configFile);
      if (folder.kind === 'mirror') assertKeepsSealed(folder, folders);
      writeFileAtomic(home.configFile, text, 0o640);
      await deps.running?.startFolder(folder);
      const before = new Set(describeOverlaps(folders));
      const overlaps = describeOverlaps([...folders, folder]);
      return {
        id: folder.id,
        active: deps.running !== null,
        warnings: overlaps.filter((overlap) => !before.has(overlap)),
      };
    },
    status: async () => {
      await running().lookAtKeys();
      return running().status();
    },
    scan: async ({ folder }) => ({ folders: await running().scan(folder) }),
    wait: async ({ copies, timeoutMs }, signal) => ({
      copies,
      folders: await running().wait({ copies, timeoutMs, signal: signal ?? new AbortController().signal }),
    }),
    dump: async (options, signal) => ({
      copies: options.copies,
      ...(await running().dump({ ...options, signal: signal ?? new AbortController().signal })),
    }),
    accept: async ({ folder }) => ({ id: folder, accepted: await running().accept(folder) }),
    pause: async ({ durationMs }) => {
      const pause = { untilMs: durationMs === null ? null : now() + durationMs };
      writePause(home, pause);
      await deps.running?.pause(pause);
      return { pausedUntil: pause.untilMs === null ? null : new Date(pause.untilMs).toISOString() };
    },
    resume: async () => {
      const wasPaused = readPause(home, now()) !== null;
      removePause(home);
      await deps.running?.pause(null);
      return { wasPaused };
    },
  };
}
