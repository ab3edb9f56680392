import type { AlarmBoard } from '../shared/alarm-board.ts';
import { isCoded } from '../shared/errors/coded-error.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { AgentCopies } from './agent-copies.ts';
import type { RestoreLeases } from './serve/restore-lease.ts';

const expiryIntervalMs = 3_600_000;
/** After a start the copies are brought up to date first. */
const firstExpiryMs = 60_000;

/** Removes versions that the rules let go, every hour, never under a restore. */
export function startVersionExpiry(deps: {
  copies: AgentCopies;
  leases: RestoreLeases;
  alarms: AlarmBoard;
  logger: Logger;
  now: () => number;
}): { stop(): Promise<void> } {
  const { copies, leases, alarms, logger, now } = deps;
  let stopped = false;
  let running: Promise<void> = Promise.resolve();
  const expireAll = async (): Promise<void> => {
    for (const agentId of copies.agentIds()) {
      for (const [folder, store] of copies.foldersOf(agentId)) {
        if (stopped || leases.holds(agentId)) continue;
        const alarmKey = `folder ${agentId}/${folder} expiry`;
        try {
          const removed = await store.expire(now());
          alarms.clear(alarmKey);
          if (removed.bytes > 0 || removed.versions > 0)
            logger.info({ agentId, folder, ...removed }, 'what is kept no longer was removed');
        } catch (error) {
          const message = error instanceof Error ? error.message : String(error);
          alarms.raise(alarmKey, isCoded(error) ? error.code : 'INTERNAL', `old versions stay: ${message}`);
        }
      }
    }
  };
  const begin = (): void => {
    running = running.then(expireAll);
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
