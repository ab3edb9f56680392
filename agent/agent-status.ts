import type { Alarm } from '../shared/alarm-board.ts';
import type { DeviceIdentity } from '../shared/identity/device-identity.ts';
import type { PeerBook } from '../shared/link/peer-book.ts';
import type { PeerLinks } from '../shared/link/peer-links.ts';
import { programVersion } from '../shared/program-version.ts';
import type { AgentFolders } from './agent-folders.ts';
import type { AgentFolderStatus, AgentSealingStatus, AgentStatus } from './agent-commands.ts';
import type { AgentPause } from './agent-pause.ts';
import type { MirrorFolderConfig } from './config.ts';
import type { SealedFolders, SealedFolderStatus } from './seal/sealed-folders.ts';
import type { SealingWatch } from './seal/sealing-state.ts';
import { describeProblems } from './seal/recipient-warnings.ts';
import { shownRecipient } from './seal/shown-recipient.ts';
import type { ReceiverSessions } from './receiver-sessions.ts';
import type { UploadLimiter } from './upload/upload-limiter.ts';
import { formatTimeOfDay, type UploadRates } from './upload/upload-schedule.ts';

type Deps = {
  identity: DeviceIdentity;
  book: PeerBook;
  links: PeerLinks;
  folders: AgentFolders;
  sealed: SealedFolders;
  sealing: SealingWatch;
  sessions: ReceiverSessions;
  pause: AgentPause;
  upload: UploadLimiter;
  listening: readonly string[];
};

/** What the running agent says of itself. */
export function agentStatus(deps: Deps, alarms: readonly Alarm[]): AgentStatus {
  const { identity, book, links, folders, sealed, sealing, sessions, pause, listening } = deps;
  const { rates } = deps.upload;
  const untilMs = pause.current?.untilMs ?? null;
  return {
    deviceId: identity.deviceId,
    version: programVersion,
    listening: [...listening],
    paused: pause.current !== null,
    pausedUntil: isoTime(untilMs),
    folders: [
      ...folders.configured().map((folder) => folderStatus(folders, folder)),
      ...sealed.status().map(sealedStatus),
    ],
    receivers: book
      .peers()
      .filter(({ role }) => role === 'receiver')
      .map(({ deviceId }) => ({
        deviceId,
        connected: links.isConnected(deviceId),
        uploadKibPerSecond: rates.ofReceiver(deviceId),
        folders: sessions.progress(deviceId).map(({ folder: id, durableSequence, lagBytes, lagFiles }) => ({
          id,
          durableSequence,
          lagBytes,
          lagFiles,
          lacksVersion: sealed.lacksVersion(id, deviceId),
        })),
      })),
    upload: uploadStatus(rates),
    sealing: sealingStatus(sealing),
    spoolBytes: sealed.spoolBytes(),
    alarms: [...alarms],
  };
}

function uploadStatus({ total, period }: UploadRates): AgentStatus['upload'] {
  const hours = period && { from: formatTimeOfDay(period.from), to: formatTimeOfDay(period.to) };
  return { totalKibPerSecond: total, period: hours };
}

function folderStatus(folders: AgentFolders, { id, kind, path }: MirrorFolderConfig): AgentFolderStatus {
  const status = folders.status(id);
  return {
    id,
    kind,
    path,
    files: status.files,
    bytes: status.bytes,
    sequence: status.sequence,
    state: status.state,
    reason: status.reason,
    lastScanAt: isoTime(status.lastScanAt),
    lastVersionAt: isoTime(folders.changedAt(id)),
    watching: status.watching,
    watchingReason: status.watchingReason,
    unreadable: status.unreadable,
    unreadablePaths: [...status.unreadablePaths],
    skippedSpecial: status.skippedSpecial,
  };
}

/** `files` counts packs, `bytes` their sealed sizes, of the latest version. */
function sealedStatus(status: SealedFolderStatus): AgentFolderStatus {
  return {
    id: status.config.id,
    kind: 'sealed',
    path: null,
    files: status.packs,
    bytes: status.bytes,
    sequence: status.sequence,
    state: status.state,
    reason: sealedReason(status),
    lastScanAt: isoTime(status.lastStartedAt),
    lastVersionAt: isoTime(status.lastVersionAt),
    watching: 'off',
    watchingReason: null,
    unreadable: status.unreadable.count,
    unreadablePaths: status.unreadable.paths,
    skippedSpecial: 0,
  };
}

function sealingStatus({ current }: SealingWatch): AgentSealingStatus {
  const { mode, recipients, passphraseFile, problems } = current;
  return {
    mode,
    recipients: recipients.map(shownRecipient),
    passphraseFile,
    problem: problems.length === 0 ? null : describeProblems(problems),
  };
}

/** What people should know of a sealed folder; null when there is nothing. */
function sealedReason({ failure, stretch }: SealedFolderStatus): string | null {
  if (failure !== null) return `the last dump failed: ${failure.message}`;
  if (stretch === 1) return null;
  return `dumps take longer than a third of their interval: one of ${stretch} moments of the schedule is used`;
}

function isoTime(atMs: number | null): string | null {
  return atMs === null ? null : new Date(atMs).toISOString();
}
