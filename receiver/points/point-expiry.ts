import type { AlarmBoard } from '../../shared/alarm-board.ts';
import { isCoded } from '../../shared/errors/coded-error.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { PointRules } from '../retention/point-retention.ts';

const expiryIntervalMs = 3_600_000;
/** After a start the copies are brought up to date first. */
const firstExpiryMs = 60_000;

type Deps = {
  points: { expire(agentId: DeviceId, rules: PointRules): Promise<readonly { id: string }[]> };
  agentIds: () => readonly DeviceId[];
  /** A restore reads of that agent. */
  isRead: (agentId: DeviceId) => boolean;
  /** Keeps the retention clock. */
  storeClock: () => void;
  alarms: AlarmBoard;
  logger: Logger;
};

/** Removes the points that the rules let go, every hour, never under a restore. */
export function startPointExpiry(deps: Deps, { rules }: { rules: PointRules }): { stop(): Promise<void> } {
  let stopped = false;
  let running: Promise<void> = Promise.resolve();
  const begin = (): void => {
    running = running.then(async () => (stopped ? undefined : expirePoints(deps, rules)));
  };
  const first = setTimeout(begin, firstExpiryMs);
  const interval = setInterval(begin, expiryIntervalMs);
  return {
    stop: async () => {
      stopped = true;
      clearTimeout(first);
      clearInterval(interval);
      await running;
    },
  };
}

/** One run over all agents. Never rejects: what fails is an alarm until it works again. */
async function expirePoints(deps: Deps, rules: PointRules): Promise<void> {
  const { points, alarms, logger } = deps;
  await withAlarm(alarms, 'retention clock', async () => deps.storeClock());
  for (const agentId of deps.agentIds()) {
    if (deps.isRead(agentId)) continue;
    await withAlarm(alarms, `points ${agentId} expiry`, async () => {
      const gone = await points.expire(agentId, rules);
      if (gone.length > 0) {
        const ids = gone.slice(0, 10).map(({ id }) => id);
        logger.info({ agentId, points: gone.length, ids }, 'restore points are kept no longer');
      }
    });
  }
}

async function withAlarm(alarms: AlarmBoard, key: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
    alarms.clear(key);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    alarms.raise(key, isCoded(error) ? error.code : 'INTERNAL', `old restore points stay: ${message}`);
  }
}
