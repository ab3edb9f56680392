import { z } from 'zod';
import type { PointListing } from '../shared/cli/point-listing.ts';
import type { Alarm } from '../shared/alarm-board.ts';
import type { ErrorCode } from '../shared/errors/error-table.ts';
import { controlCommands } from '../shared/io/control-client.ts';
import { controlRoutes, type ControlRoute } from '../shared/io/control-route.ts';
import type { RelativePath } from '../shared/records/relative-path.ts';
import { pinLabelSchema } from '../shared/sealing/point-record.ts';
import type { Home } from '../shared/io/home.ts';
import type { Reindexed } from './reindex-copies.ts';
import type { ScrubReport, ScrubStatus } from './scrub/scrub-report.ts';
import type { Succeeded } from './succeed-device.ts';

type ReceiverFolderStatus = {
  id: string;
  kind: 'mirror' | 'sealed';
  /** Null for a sealed folder, whose files nobody here can see. */
  files: number | null;
  bytes: number;
  /** Of a mirror folder: replaced and deleted states of files. Of a sealed folder: all versions of it. */
  versions: number;
  /** What they take beside `bytes`. */
  versionBytes: number;
  durableSequence: number;
  /** When the last batch (of a sealed folder: the newest version that is complete) arrived; ISO 8601, null before the first. */
  lastDurableAt: string | null;
  /**
   * By when a file that is deleted now has left here at the latest, pinned points apart, while newer complete points come; ISO 8601.
   * Null where the rule keeps some for ever, while the agent is frozen, and of a sealed folder.
   */
  deletedGoneBy: string | null;
  /** Who can read a sealed folder; null for a mirror folder. */
  recipients: ReceiverRecipients | null;
};

/** By what the agent said of its versions. */
export type ReceiverRecipients = {
  /** Key IDs that the newest version is sealed to; none: a passphrase. Null before the first version. */
  keyIds: readonly string[] | null;
  /** When the set became another one, newest first; `number` and `epoch` name the first version with the new set. */
  changes: {
    at: string;
    number: number;
    epoch: string;
    added: readonly string[];
    removed: readonly string[];
  }[];
};

export type ReceiverAgentStatus = {
  deviceId: string;
  /** Devices with whose data it goes on. */
  formerly: string[];
  /** False for an agent that was unpaired: its data stays. */
  paired: boolean;
  connected: boolean;
  /** Nothing of the agent expires until `release`. */
  frozen: boolean;
  /** What was found, the first of it first; `folder`: null where it is about the agent. */
  freezes: ReceiverFreeze[];
  quotaBytes: number | null;
  usedBytes: number;
  /** When the newest and the oldest were received, ISO 8601. `refused`: announcements that were not taken, ever. */
  points: {
    count: number;
    latestAt: string | null;
    oldestAt: string | null;
    refused: number;
    /** Points that the owner has forgotten and of which something is not removed yet. */
    forgotten: number;
  };
  folders: ReceiverFolderStatus[];
};

export type ReceiverFreeze = { folder: string | null; code: ErrorCode; since: string; message: string };

/** What `status --json` prints. */
export type ReceiverStatus = {
  deviceId: string;
  version: string;
  listening: string[];
  agents: ReceiverAgentStatus[];
  /** Of the data directory; both 0 where it is not there. */
  disk: { freeBytes: number; usedBytes: number };
  scrub: ScrubStatus;
  alarms: Alarm[];
};

export type VersionListing = {
  /** Below `versions/`, for the current content the path itself. */
  name: string;
  kind: 'file' | 'symlink' | 'directory';
  size: number;
  receivedAt: string;
  /** When it was replaced or deleted; null for the current content. */
  replacedAt: string | null;
  current: boolean;
};

/** A version of a whole sealed folder. Times ISO 8601; `createdAt` by the agent's clock. */
export type SealedVersionListing = {
  number: number;
  epoch: string;
  createdAt: string;
  receivedAt: string;
  /** How many packs it needs, and their bytes; other versions may share them. */
  packs: number;
  bytes: number;
  /** Key IDs of those who can read it; none: a passphrase. */
  recipients: readonly string[];
  /** Everything that it needs is held. */
  complete: boolean;
};

/** What goes, or went, with points of each agent. */
export type ForgetListing = {
  /** `at`: when it was begun; null where its files are damaged. */
  points: { id: string; agent: string; at: string | null }[];
  /** Replaced and deleted states of files, and versions of sealed folders; and their bytes. */
  versions: number;
  bytes: number;
  agents: {
    agent: string;
    /** Points that are left, and how many of them are complete. */
    left: number;
    leftComplete: number;
    /** Why something is not gone yet, in words; it goes when that is over, which is looked at every ten minutes. */
    waitsFor: string | null;
  }[];
};

const role = z.enum(['replica', 'restore']);
const agent = z.string().nullable();

const inputs = {
  about: z.strictObject({}),
  reload: z.strictObject({}),
  agents: z.strictObject({}),
  invite: z.strictObject({ role, agent }),
  join: z.strictObject({ invitation: z.string(), agent }),
  pair: z.strictObject({ deviceId: z.string(), addresses: z.array(z.string()), role, agent }),
  unpair: z.strictObject({ deviceId: z.string() }),
  status: z.strictObject({}),
  versions: z.strictObject({ folder: z.string(), path: z.string().nullable(), agent }),
  points: z.strictObject({ agent, point: z.string().min(1).nullable() }),
  lacking: z.strictObject({ point: z.string().min(1), folder: z.string(), after: z.string().nullable() }),
  pin: z.strictObject({ point: z.string().min(1), label: pinLabelSchema }),
  unpin: z.strictObject({ point: z.string().min(1) }),
  release: z.strictObject({ agent }),
  forget: z.strictObject({ points: z.array(z.string().min(1)).min(1), dryRun: z.boolean() }),
  succeed: z.strictObject({ old: z.string(), next: z.string() }),
  scrub: z.strictObject({ all: z.boolean() }),
  scrubStatus: z.strictObject({}),
  reindex: z.strictObject({}),
};

type Input<Name extends keyof typeof inputs> = z.infer<(typeof inputs)[Name]>;

/**
 * What can be asked of a receiver, in the running program or, where no program runs, directly on the home's files.
 * All of them are durable when they resolve. `agent` may be shortened, and null where there is only one.
 */
export type ReceiverCommands = {
  /** `life` counts the starts of the running program, reloads among them; 0 where none runs. */
  about: (input: Input<'about'>) => Promise<{ pid: number; version: string; life: number }>;
  /** The configuration makes sense, and the running program begins anew with it. @throws CodedError NOT_RUNNING, CONFIG_INVALID */
  reload: (input: Input<'reload'>) => Promise<object>;
  /** Device IDs of the agents that are paired here or of whom something is held. */
  agents: (input: Input<'agents'>) => Promise<{ agents: string[] }>;
  invite: (input: Input<'invite'>) => Promise<{ invitation: string; expiresAt: string; addresses: string[] }>;
  /** `role` is what the other device may do here. @throws CodedError INVITATION_INVALID, INVITATION_REFUSED, LINK_UNREACHABLE */
  join: (
    input: Input<'join'>,
    signal?: AbortSignal,
  ) => Promise<{ deviceId: string; role: 'replica' | 'restore' }>;
  pair: (input: Input<'pair'>) => Promise<{ deviceId: string }>;
  /** @throws CodedError DEVICE_UNKNOWN */
  unpair: (input: Input<'unpair'>) => Promise<{ deviceId: string }>;
  /** @throws CodedError NOT_RUNNING */
  status: (input: Input<'status'>) => Promise<ReceiverStatus>;
  /**
   * Newest first: of a file in a mirror folder, the current content included, or of a sealed folder, which has no paths.
   * @throws CodedError FOLDER_UNKNOWN, PATH_INVALID, USAGE (a path for a sealed folder, or none for a mirror folder)
   */
  versions: (
    input: Input<'versions'>,
  ) => Promise<
    | { agent: string; kind: 'mirror'; versions: VersionListing[] }
    | { agent: string; kind: 'sealed'; versions: SealedVersionListing[] }
  >;
  /**
   * Restore points, the last received first; `agent` null: of all agents; `point`: only that one, may be shortened. `damaged`:
   * points whose own files are damaged or gone, so that nothing can be restored from them.
   * @throws CodedError DEVICE_UNKNOWN, POINT_UNKNOWN
   */
  points: (
    input: Input<'points'>,
  ) => Promise<{ points: PointListing[]; damaged: { id: string; agent: string }[] }>;
  /** A page of the files that a point lacks of a mirror folder. @throws CodedError POINT_UNKNOWN, FOLDER_UNKNOWN, PATH_INVALID */
  lacking: (
    input: Input<'lacking'>,
  ) => Promise<{ paths: readonly RelativePath[]; next: RelativePath | null }>;
  /** `point` may be shortened. @throws CodedError POINT_UNKNOWN */
  pin: (input: Input<'pin'>) => Promise<{ id: string }>;
  /** `point` may be shortened. @throws CodedError POINT_UNKNOWN */
  unpin: (input: Input<'unpin'>) => Promise<{ id: string; wasPinned: boolean }>;
  /**
   * Ends the freeze of an agent; null: of the only one that is frozen, if one is. `frozen`: it still is, because
   * something of it cannot be judged.
   * @throws CodedError USAGE (several are frozen), DEVICE_UNKNOWN
   */
  release: (
    input: Input<'release'>,
  ) => Promise<{ agent: string | null; released: ReceiverFreeze[]; frozen: boolean }>;
  /**
   * Takes points away, and what only they need; with `dryRun` only says what that would be. `points` may be shortened. All
   * of them or none. @throws CodedError POINT_UNKNOWN, POINT_PINNED
   */
  forget: (input: Input<'forget'>) => Promise<ForgetListing>;
  /** See succeedDevice. @throws CodedError DEVICE_UNKNOWN, DEVICE_ID_INVALID, SUCCESSION_REFUSED */
  succeed: (input: Input<'succeed'>) => Promise<Succeeded>;
  /** Reads on, as fast as it goes, until everything is read; `all`: from the beginning. An abort leaves it where it stands. */
  scrub: (input: Input<'scrub'>, signal?: AbortSignal) => Promise<ScrubReport>;
  scrubStatus: (input: Input<'scrubStatus'>) => Promise<ScrubStatus>;
  /** Builds the databases again from the plain files. */
  reindex: (input: Input<'reindex'>, signal?: AbortSignal) => Promise<Reindexed>;
};

/** The routes by which the control socket offers the commands. */
export function receiverRoutes(commands: ReceiverCommands): Record<keyof ReceiverCommands, ControlRoute> {
  return controlRoutes(inputs, commands);
}

/** The same commands, done by the program that runs on `home`. */
export function remoteReceiverCommands(home: Home): ReceiverCommands {
  return controlCommands<ReceiverCommands>(home, inputs);
}
