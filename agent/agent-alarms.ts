import type { AlarmBoard } from '../shared/alarm-board.ts';
import { errorTable, type ErrorCode } from '../shared/errors/error-table.ts';
import { shortDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import type { AgentFolders } from './agent-folders.ts';
import { sealingAlarms } from './seal/recipient-warnings.ts';
import type { SealedFolders } from './seal/sealed-folders.ts';
import type { SealingWatch } from './seal/sealing-state.ts';
import type { ReceiverSessions } from './receiver-sessions.ts';

/** Raises and ends the agent's alarms by what its folders and receivers say now. */
export function reviewAgentAlarms(deps: {
  alarms: AlarmBoard;
  folders: AgentFolders;
  sealed: SealedFolders;
  sealing: SealingWatch;
  sessions: ReceiverSessions;
  receivers: () => DeviceId[];
  now: () => number;
}): void {
  const { alarms, folders, sessions } = deps;
  for (const { id } of folders.configured()) {
    const { state, reason, unreadable, unreadablePaths } = folders.status(id);
    const stopped = `folder ${id} source`;
    if (state === 'stopped') {
      alarms.raise(
        stopped,
        'SOURCE_STOPPED',
        `folder ${id} is stopped: ${reason ?? 'its source looks vanished'}; bring the source back, or "accept ${id}"`,
      );
    } else if (reason !== null) alarms.raise(stopped, 'DISK_FAILED', `folder ${id}: ${reason}`);
    else alarms.clear(stopped);

    reviewUnreadable(alarms, id, unreadable, unreadablePaths);
  }
  for (const { config, failure, unreadable, lastVersionAt } of deps.sealed.status()) {
    reviewUnreadable(alarms, config.id, unreadable.count, unreadable.paths);
    const key = `folder ${config.id} dump`;
    if (failure === null) alarms.clear(key);
    else {
      const at = new Date(failure.at).toISOString();
      const before =
        lastVersionAt === null
          ? 'there is no version of it'
          : `the latest version is of ${new Date(lastVersionAt).toISOString()}`;
      const failed = `folder ${config.id}: the dump of ${at} failed: ${failure.message.replace(/\.$/, '')}`;
      alarms.raise(key, 'DUMP_FAILED', `${failed}; ${before}`);
    }
  }
  reviewKeys(deps);
  const folderIds = [...folders.configured(), ...deps.sealed.status().map(({ config }) => config)];
  for (const receiverId of deps.receivers()) {
    reviewSuccession(alarms, receiverId, sessions.linkRefusal(receiverId));
    for (const { id: folder } of folderIds) {
      const refused = sessions.refusal(receiverId, folder);
      const key = `receiver ${receiverId} folder ${folder}`;
      if (refused === null) alarms.clear(key);
      else
        alarms.raise(
          key,
          knownCode(refused.code),
          `receiver ${shortDeviceId(receiverId)}, folder ${folder}: ${refused.message}`,
        );
    }
  }
}

/** For a server that came back after another had taken its place. */
function reviewSuccession(
  alarms: AlarmBoard,
  receiverId: DeviceId,
  refusal: { code: string; message: string } | null,
): void {
  const key = `receiver ${receiverId} succeeded`;
  if (refusal?.code !== 'SUCCEEDED') alarms.clear(key);
  else alarms.raise(key, 'SUCCEEDED', `receiver ${shortDeviceId(receiverId)}: ${refusal.message}`);
}

function reviewUnreadable(alarms: AlarmBoard, id: string, count: number, paths: readonly string[]): void {
  const key = `folder ${id} unreadable`;
  if (count === 0) {
    alarms.clear(key);
    return;
  }
  const some = paths.slice(0, 3).join(', ');
  alarms.raise(key, 'SOURCE_UNREADABLE', `folder ${id}: ${count} paths cannot be read, such as ${some}`);
}

/** Keys matter where something is sealed to them. */
function reviewKeys(deps: {
  alarms: AlarmBoard;
  sealed: SealedFolders;
  sealing: SealingWatch;
  now: () => number;
}): void {
  const { alarms, sealed, sealing, now } = deps;
  const raised = sealed.status().length === 0 ? [] : sealingAlarms(sealing.current, now());
  for (const { key, code, message } of raised) alarms.raise(key, code, message);
  const keys = new Set(raised.map(({ key }) => key));
  for (const key of alarms.keysOf('recipient')) if (!keys.has(key)) alarms.clear(key);
}

function knownCode(code: string): ErrorCode {
  return code in errorTable ? (code as ErrorCode) : 'INTERNAL';
}
