import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { startForgettingRetries } from '../../../receiver/forgetting-retries.ts';
import type { Forgetting } from '../../../receiver/point-forgetting.ts';
import { AlarmBoard } from '../../../shared/alarm-board.ts';
import { CodedError } from '../../../shared/errors/coded-error.ts';
import type { DeviceId } from '../../../shared/identity/device-id.ts';
import { LogRecorder } from '../../support/log-recorder.ts';

const agents = ['A', 'B'] as DeviceId[];
const nothing: Forgetting = { versions: 0, bytes: 0, waitsFor: null };
const minuteMs = 60_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function start(finish: (agentId: DeviceId) => Promise<Forgetting>) {
  const logger = new LogRecorder();
  const alarms = new AlarmBoard({ logger, now: () => 0 });
  const retries = startForgettingRetries({
    forgetting: { finish },
    agentIds: () => agents,
    alarms,
    logger,
  });
  return { retries, alarms, logger };
}

it('looks at every agent half a minute after the start, and then every ten minutes until it is stopped', async () => {
  const asked: DeviceId[] = [];
  const { retries } = start(async (agentId) => {
    asked.push(agentId);
    return nothing;
  });
  await vi.advanceTimersByTimeAsync(minuteMs / 2 - 1);
  expect(asked).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(asked).toEqual(agents);
  await vi.advanceTimersByTimeAsync(20 * minuteMs);
  expect(asked).toEqual([...agents, ...agents, ...agents]);
  await retries.stop();
  await vi.advanceTimersByTimeAsync(20 * minuteMs);
  expect(asked).toHaveLength(6);
});

it('alarms as long as it fails for one agent, and goes on with the others', async () => {
  let fails = true;
  const { retries, alarms, logger } = start(async (agentId) => {
    if (agentId === 'A' && fails) throw new CodedError('DISK_FAILED', 'the disk refused it');
    return agentId === 'B' ? { versions: 2, bytes: 10, waitsFor: 'the end of a restore' } : nothing;
  });
  await vi.advanceTimersByTimeAsync(minuteMs / 2);
  expect(alarms.list()).toMatchObject([
    {
      code: 'DISK_FAILED',
      message: 'what forgotten restore points held cannot be removed: the disk refused it',
    },
  ]);
  const told = logger.lines.filter(({ agentId }) => agentId === 'B');
  expect(told).toMatchObject([{ versions: 2, bytes: 10 }, { waitsFor: 'the end of a restore' }]);
  fails = false;
  await vi.advanceTimersByTimeAsync(10 * minuteMs);
  expect(alarms.list()).toEqual([]);
  await retries.stop();
});
