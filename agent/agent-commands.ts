import { z } from 'zod';
import type { Alarm } from '../shared/alarm-board.ts';
import { controlCommands } from '../shared/io/control-client.ts';
import { controlRoutes, type ControlRoute } from '../shared/io/control-route.ts';
import type { Home } from '../shared/io/home.ts';
import { pinLabelSchema } from '../shared/sealing/point-record.ts';
import { folderSchema, type FolderConfig } from './config.ts';
import type { DumpedWithPins } from './dump-and-wait.ts';
import type { ShownRecipient } from './seal/shown-recipient.ts';

export type AgentFolderStatus = {
  id: string;
  kind: 'mirror' | 'sealed';
  /** Null for a sealed folder. */
  path: string | null;
  files: number;
  bytes: number;
  sequence: number;
  state: string;
  /** Why the state is what it is, for people; null when there is nothing to say. */
  reason: string | null;
  /** ISO 8601, or null before the first full scan. */
  lastScanAt: string | null;
  lastVersionAt: string | null;
  watching: 'ok' | 'degraded' | 'off';
  watchingReason: string | null;
  unreadable: number;
  /** Some of them. */
  unreadablePaths: string[];
  /** Sockets, FIFOs and devices. */
  skippedSpecial: number;
};

type AgentReceiverStatus = {
  deviceId: string;
  connected: boolean;
  /** How fast is sent to it at most now; null for no limit of its own. */
  uploadKibPerSecond: number | null;
  folders: {
    id: string;
    durableSequence: number;
    lagBytes: number;
    lagFiles: number;
    /** Of a sealed folder: it does not hold the latest version. Where nothing lags, that comes with the next dump. */
    lacksVersion: boolean;
  }[];
};

/** To whom sealed folders are sealed. `passphraseFile`: where a passphrase lies on this server. `problem`: why nothing can be sealed. */
export type AgentSealingStatus = {
  mode: 'recipients' | 'passphrase' | 'none';
  recipients: ShownRecipient[];
  passphraseFile: string | null;
  problem: string | null;
};

/** The limit of all that is sent now, null for none, and the hours of the schedule (local time, `08:00`) that it is of. */
type AgentUploadStatus = {
  totalKibPerSecond: number | null;
  period: { from: string; to: string } | null;
};

/** What `status --json` prints. */
export type AgentStatus = {
  deviceId: string;
  version: string;
  listening: string[];
  paused: boolean;
  /** ISO 8601; null when not paused or paused until `resume`. */
  pausedUntil: string | null;
  folders: AgentFolderStatus[];
  receivers: AgentReceiverStatus[];
  upload: AgentUploadStatus;
  sealing: AgentSealingStatus;
  spoolBytes: number;
  alarms: Alarm[];
};

const inputs = {
  about: z.strictObject({}),
  reload: z.strictObject({}),
  invite: z.strictObject({}),
  join: z.strictObject({ invitation: z.string() }),
  pair: z.strictObject({ deviceId: z.string(), addresses: z.array(z.string()) }),
  unpair: z.strictObject({ deviceId: z.string() }),
  addFolder: z.strictObject({
    folder: folderSchema,
  }),
  status: z.strictObject({}),
  scan: z.strictObject({ folder: z.string().nullable() }),
  wait: z.strictObject({ copies: z.int().min(1), timeoutMs: z.number().positive() }),
  dump: z.strictObject({
    folder: z.string().nullable(),
    pin: pinLabelSchema.nullable(),
    copies: z.int().min(0),
    timeoutMs: z.number().positive(),
  }),
  accept: z.strictObject({ folder: z.string() }),
  pause: z.strictObject({ durationMs: z.number().positive().nullable() }),
  resume: z.strictObject({}),
};

type Input<Name extends keyof typeof inputs> = z.infer<(typeof inputs)[Name]>;

/** What a full scan left: `files` and `bytes` are all that is known now, `changed` what the scan announced. */
export type ScanSummary = {
  id: string;
  files: number;
  bytes: number;
  sequence: number;
  changed: number;
  unreadable: number;
  /** Files that did not come to rest in time; they follow when they do. */
  unsettled: number;
};

/**
 * What can be asked of an agent, in the running program or, where no program runs, directly on the home's files.
 * All of them are durable when they resolve. Without the running program `status`, `scan`, `wait`, `dump` and `accept` throw NOT_RUNNING.
 */
export type AgentCommands = {
  /** `life` counts the starts of the running program, reloads among them; 0 where none runs. */
  about: (input: Input<'about'>) => Promise<{ pid: number; version: string; life: number }>;
  /** The configuration makes sense, and the running program begins anew with it. @throws CodedError NOT_RUNNING, CONFIG_INVALID */
  reload: (input: Input<'reload'>) => Promise<object>;
  invite: (input: Input<'invite'>) => Promise<{ invitation: string; expiresAt: string; addresses: string[] }>;
  /** @throws CodedError INVITATION_INVALID, INVITATION_REFUSED, LINK_UNREACHABLE */
  join: (input: Input<'join'>, signal?: AbortSignal) => Promise<{ deviceId: string }>;
  pair: (input: Input<'pair'>) => Promise<{ deviceId: string }>;
  /** `deviceId` may be shortened. @throws CodedError DEVICE_UNKNOWN */
  unpair: (input: Input<'unpair'>) => Promise<{ deviceId: string }>;
  /** `active`: the running program replicates it already; `warnings` are for people. @throws CodedError CONFIG_INVALID */
  addFolder: (input: {
    folder: FolderConfig;
  }) => Promise<{ id: string; active: boolean; warnings: string[] }>;
  status: (input: Input<'status'>) => Promise<AgentStatus>;
  /** Resolves when full scans of the folder, or of all, begun by this call have ended. */
  scan: (input: Input<'scan'>, signal?: AbortSignal) => Promise<{ folders: ScanSummary[] }>;
  /**
   * Resolves when all that full scans begun by this call found, and the latest version of every sealed folder, is durable on
   * that many receivers.
   * @throws CodedError TIMED_OUT
   */
  wait: (input: Input<'wait'>, signal?: AbortSignal) => Promise<{ copies: number; folders: ScanSummary[] }>;
  /**
   * Makes a version of the sealed folder, or of all; with `copies`, resolves when they are durable on that many receivers.
   * The restore point is made behind it; with the label `pin` receivers are asked to pin it, and this resolves not before it is
   * made and, for a moment, those that are connected have answered (`pins`).
   * @throws CodedError FOLDER_UNKNOWN, SOURCE_FAILED, SPOOL_FULL, TIMED_OUT
   */
  dump: (input: Input<'dump'>, signal?: AbortSignal) => Promise<{ copies: number } & DumpedWithPins>;
  /** `accepted` is false where the folder was not stopped. @throws CodedError FOLDER_UNKNOWN, SOURCE_STOPPED (no source to take) */
  accept: (input: Input<'accept'>) => Promise<{ id: string; accepted: boolean }>;
  pause: (input: Input<'pause'>) => Promise<{ pausedUntil: string | null }>;
  resume: (input: Input<'resume'>) => Promise<{ wasPaused: boolean }>;
};

/** The routes by which the control socket offers the commands. */
export function agentRoutes(commands: AgentCommands): Record<keyof AgentCommands, ControlRoute> {
  return controlRoutes(inputs, commands);
}

/** The same commands, done by the program that runs on `home`. */
export function remoteAgentCommands(home: Home): AgentCommands {
  return controlCommands<AgentCommands>(home, inputs);
}
