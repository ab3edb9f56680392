import type { AlarmBoard } from '../shared/alarm-board.ts';
import { isCoded } from '../shared/errors/coded-error.ts';
import type { DeviceId } from '../shared/identity/device-id.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { AgentStore } from './agent-copies.ts';
import type { KeptHistory, PointPart } from './points/folder-evidence.ts';
import type { PointRecord } from '../shared/sealing/point-record.ts';
import type { ClockGap } from './retention/retention-clock.ts';
import { longestKeptMs, type PointRules } from './retention/point-retention.ts';
import { startRepeatedRun } from './repeated-run.ts';

const dayMs = 86_400_000;
const expiryIntervalMs = 3_600_000;
/** After a start the copies are brought up to date first. */
const firstExpiryMs = 60_000;

type Deps = {
  points: {
    expire(agentId: DeviceId, rules: PointRules): Promise<readonly { id: string }[]>;
    /** What must be kept for points at the time of the call. */
    needed(agentId: DeviceId): Promise<() => readonly PointRecord[]>;
  };
  copies: { agentIds(): readonly DeviceId[]; foldersOf(agentId: DeviceId): [string, AgentStore][] };
  /** A restore reads of that agent: nothing of it may go now. */
  isRead: (agentId: DeviceId) => boolean;
  /** Look at all that has come of an agent; true: nothing of it may go until a person says so. */
  guards: { check(agentId: DeviceId): Promise<boolean>; isFrozen(agentId: DeviceId): boolean };
  /** ms, by the clock that ages are counted by; and keeps that. */
  retentionNow: () => number;
  storeClock: () => void;
  clockGap: () => ClockGap | null;
  /** Null while the file that keeps the clock is whole. */
  damagedClockFile: () => string | null;
  alarms: AlarmBoard;
  logger: Logger;
};
type Options = { rulesOf: (agentId: DeviceId) => PointRules };

/**
 * Every hour: the restore points that the rules let go, then what no kept point needs any more of each folder. Never
 * under a restore, nothing of an agent that is frozen, and nothing of one whose points cannot be read.
 */
export function startHistoryExpiry(deps: Deps, options: Options): { stop(): Promise<void> } {
  return startRepeatedRun((isStopped) => expireHistory(deps, options, isStopped), {
    firstMs: firstExpiryMs,
    everyMs: expiryIntervalMs,
  });
}

/** One run over all agents. Never rejects: what fails is an alarm until it works again. */
export async function expireHistory(
  deps: Deps,
  { rulesOf }: Options,
  isStopped: () => boolean,
): Promise<void> {
  const { copies, guards, isRead } = deps;
  if (isStopped()) return;
  await withAlarm(deps, 'retention clock', async () => deps.storeClock());
  tellClockGap(deps);
  tellClockDamage(deps);
  for (const agentId of copies.agentIds()) {
    if (isStopped()) return;
    if ((await guards.check(agentId)) || isRead(agentId)) continue;
    const rules = rulesOf(agentId);
    const kept = await withAlarm(deps, `points ${agentId} expiry`, async () =>
      expirePoints(deps, agentId, rules),
    );
    if (kept === null) continue;
    for (const [folder, store] of copies.foldersOf(agentId)) {
      // asked again: a restore or a freeze may have begun meanwhile
      if (isStopped() || (await guards.check(agentId)) || isRead(agentId)) break;
      await withAlarm(deps, `folder ${agentId}/${folder} expiry`, async () => {
        const mustStop = (): boolean => isStopped() || guards.isFrozen(agentId) || isRead(agentId);
        const history = keptHistory(kept, folder, rules);
        const removed = await store.expire(deps.retentionNow(), history, mustStop);
        if (removed.bytes > 0 || removed.versions > 0)
          deps.logger.info({ agentId, folder, ...removed }, 'what is kept no longer was removed');
      });
    }
  }
}

/** A clock that was set lets nothing expire at once; which of the two is right a person has to say. */
function tellClockGap({ clockGap, alarms }: Deps): void {
  const gap = clockGap();
  if (gap === null) {
    alarms.clear('clock');
    return;
  }
  const days = Math.round(gap.gapMs / dayMs);
  const follows =
    gap.direction === 'ahead' ? 'it catches up at twice the pace of time' : 'ages stand still until then';
  alarms.raise(
    'clock',
    'CLOCK_JUMPED',
    `the clock of this machine is ${days} days ${gap.direction} of the one by which ages are counted; ${follows}: is it right?`,
  );
}

/** Where the clock stood is not known for sure; when a person has looked, the file goes. */
function tellClockDamage({ damagedClockFile, retentionNow, alarms }: Deps): void {
  const file = damagedClockFile();
  if (file === null) {
    alarms.clear('clock file');
    return;
  }
  const now = new Date(retentionNow()).toISOString();
  alarms.raise(
    'clock file',
    'CLOCK_DAMAGED',
    `the file of the clock by which ages are counted was damaged; by the time of its last change it is ${now} now. If that is about right, remove ${file}`,
  );
}

/** What points need that are kept then. */
async function expirePoints(
  { points, logger }: Deps,
  agentId: DeviceId,
  rules: PointRules,
): Promise<() => readonly PointRecord[]> {
  const gone = await points.expire(agentId, rules);
  if (gone.length > 0) {
    const ids = gone.slice(0, 10).map(({ id }) => id);
    logger.info({ agentId, points: gone.length, ids }, 'restore points are kept no longer');
  }
  return points.needed(agentId);
}

function keptHistory(needed: () => readonly PointRecord[], folder: string, rules: PointRules): KeptHistory {
  const { newestComplete, floorDays } = rules;
  let records: readonly PointRecord[] = [];
  let parts: readonly PointPart[] = [];
  return {
    get parts() {
      const now = needed();
      if (now !== records) parts = now.flatMap(({ folders }) => folders.filter(({ id }) => id === folder));
      records = now;
      return parts;
    },
    longestMs: longestKeptMs(rules),
    newestComplete,
    floorDays,
  };
}

async function withAlarm<Result>(
  { alarms }: Deps,
  key: string,
  action: () => Promise<Result>,
): Promise<Result | null> {
  try {
    const result = await action();
    alarms.clear(key);
    return result;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    alarms.raise(key, isCoded(error) ? error.code : 'INTERNAL', `what is kept no longer stays: ${message}`);
    return null;
  }
}
