import type { AlarmBoard } from '../shared/alarm-board.ts';
import { isCoded } from '../shared/errors/coded-error.ts';
import type { DeviceId } from '../shared/identity/device-id.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { PointForgetting } from './point-forgetting.ts';
import { startRepeatedRun } from './repeated-run.ts';

const intervalMs = 600_000;
/** After a start the copies are brought up to date first. */
const firstMs = 30_000;

type Deps = {
  forgetting: Pick<PointForgetting, 'finish'>;
  agentIds: () => readonly DeviceId[];
  alarms: AlarmBoard;
  logger: Logger;
};

/** Every ten minutes: removes what waits of forgotten points, because a restore read it, a folder was closed, or the program was killed. */
export function startForgettingRetries(deps: Deps): { stop(): Promise<void> } {
  return startRepeatedRun((isStopped) => retryForgetting(deps, isStopped), { firstMs, everyMs: intervalMs });
}

/** Once for all agents. Never rejects: what fails is an alarm until it works. */
export async function retryForgetting(
  { forgetting, agentIds, alarms, logger }: Deps,
  isStopped: () => boolean,
): Promise<void> {
  for (const agentId of agentIds()) {
    if (isStopped()) return;
    const alarmKey = `points ${agentId} forgotten`;
    try {
      const { waitsFor, versions, bytes } = await forgetting.finish(agentId);
      alarms.clear(alarmKey);
      if (versions > 0)
        logger.info({ agentId, versions, bytes }, 'what forgotten restore points needed was removed');
      if (waitsFor !== null) logger.info({ agentId, waitsFor }, 'what forgotten restore points needed waits');
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const code = isCoded(error) ? error.code : 'INTERNAL';
      alarms.raise(alarmKey, code, `what forgotten restore points held cannot be removed: ${message}`);
    }
  }
}
