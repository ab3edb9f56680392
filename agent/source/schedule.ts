import { Cron } from 'croner';
import { CodedError } from '../../shared/errors/coded-error.ts';

/** Hourly at :40, away from what other programs do at the full hour. */
export const defaultSchedule = '40 * * * *';

/** A cron expression of five fields; `next` gives the first moment later than the given one, in ms since 1970. */
export type CronSchedule = { expression: string; next: (afterMs: number) => number };

/**
 * Reads a cron expression (or `@daily` and the like) in this machine's time zone, or the given one.
 * @throws CodedError CONFIG_INVALID
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/crontab.html
 */
export function parseSchedule(expression: string, timezone?: string): CronSchedule {
  const options = { mode: '5-part', paused: true, ...(timezone === undefined ? {} : { timezone }) } as const;
  let cron: Cron;
  try {
    cron = new Cron(expression, options);
  } catch (error) {
    throw new CodedError('CONFIG_INVALID', `the schedule "${expression}" is not a cron expression`, {
      hint: 'write five fields: minute, hour, day of month, month, day of week; "40 * * * *" is hourly at :40',
      cause: error,
    });
  }
  if (cron.nextRun() === null) {
    throw new CodedError('CONFIG_INVALID', `the schedule "${expression}" names no moment to come`);
  }
  const next = (afterMs: number) => cron.nextRun(new Date(afterMs))?.getTime() ?? Number.POSITIVE_INFINITY;
  return { expression, next };
}

/**
 * What the schedule needs to know of a folder. `lastStartedAtMs`: start of the newest run, whatever came of it; null
 * before the first. `lastDurationMs`: how long that run took; null while it runs, and where it was interrupted by the
 * program's own end. `knownSinceMs`: when the folder was added, or the program first saw it.
 */
export type ScheduleState = {
  running: boolean;
  lastStartedAtMs: number | null;
  lastDurationMs: number | null;
  knownSinceMs: number;
};

/**
 * `run`: start now; `late`: its moment passed while the program was off, the machine asleep or another run under way.
 * `wait`: nothing to do before `untilMs` (null while a run is under way: decide again when it ends).
 * `stretch`: every how many-th moment is used; more than 1 after a run that took longer than a third of the interval.
 */
export type ScheduleDecision =
  | { action: 'run'; late: boolean; stretch: number }
  | { action: 'wait'; untilMs: number | null; stretch: number };

const lateAfterMs = 60_000;
/** An interrupted run is begun again so long after its start: not at once, lest a dump that brings the program down does so all the time. */
const interruptedAgainMs = 10 * 60_000;
const stretchMax = 64;

/**
 * Decides whether a folder is dumped now. Pure: the same state and time give the same answer. Never two at once; any
 * number of missed moments is made up by one run, an interrupted run is begun again; a clock that was set back does not
 * stop the schedule.
 */
export function decideSchedule(
  schedule: CronSchedule,
  state: ScheduleState,
  nowMs: number,
): ScheduleDecision {
  const lastMs = Math.min(state.lastStartedAtMs ?? state.knownSinceMs, nowMs);
  const stretch = stretchOf(schedule, lastMs, state.lastDurationMs);
  if (state.running) return { action: 'wait', untilMs: null, stretch };
  let dueMs = schedule.next(lastMs);
  for (let moment = 1; moment < stretch; moment++) dueMs = schedule.next(dueMs);
  const interrupted = state.lastStartedAtMs !== null && state.lastDurationMs === null;
  if (interrupted) dueMs = Math.min(dueMs, lastMs + interruptedAgainMs);
  if (dueMs > nowMs) return { action: 'wait', untilMs: dueMs, stretch };
  return { action: 'run', late: nowMs - dueMs > lateAfterMs, stretch };
}

/** The interval is doubled until the run takes no more than a third of it. */
function stretchOf(schedule: CronSchedule, lastMs: number, lastDurationMs: number | null): number {
  if (lastDurationMs === null) return 1;
  const first = schedule.next(lastMs);
  const intervalMs = schedule.next(first) - first;
  let stretch = 1;
  while (stretch < stretchMax && lastDurationMs * 3 > intervalMs * stretch) stretch *= 2;
  return stretch;
}
