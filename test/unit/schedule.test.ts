import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decideSchedule,
  defaultSchedule,
  parseSchedule,
  type ScheduleState,
} from '../../agent/source/schedule.ts';
import { isCoded } from '../../shared/errors/coded-error.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const at = (text: string) => Date.parse(`2026-11-21T${text}Z`);
const hourly = parseSchedule(defaultSchedule, 'UTC');
const fresh: ScheduleState = {
  running: false,
  lastStartedAtMs: null,
  lastDurationMs: null,
  knownSinceMs: at('08:00:00'),
};

describe('the schedule of a sealed folder', () => {
  it('waits for the moment, then runs', () => {
    expect(decideSchedule(hourly, fresh, at('08:39:59'))).toEqual({
      action: 'wait',
      untilMs: at('08:40:00'),
      stretch: 1,
    });
    expect(decideSchedule(hourly, fresh, at('08:40:00'))).toEqual({ action: 'run', late: false, stretch: 1 });
    const after = { ...fresh, lastStartedAtMs: at('08:40:00'), lastDurationMs: minuteMs };
    expect(decideSchedule(hourly, after, at('08:41:00'))).toEqual({
      action: 'wait',
      untilMs: at('09:40:00'),
      stretch: 1,
    });
  });

  it('never starts a second run while one is under way', () => {
    const running = { ...fresh, running: true, lastStartedAtMs: at('08:40:00') };
    expect(decideSchedule(hourly, running, at('12:00:00'))).toEqual({
      action: 'wait',
      untilMs: null,
      stretch: 1,
    });
  });

  it('makes up moments that passed while the program was off, once', () => {
    const state = { ...fresh, lastStartedAtMs: at('02:40:00'), lastDurationMs: minuteMs };
    expect(decideSchedule(hourly, state, at('08:10:00'))).toEqual({ action: 'run', late: true, stretch: 1 });
    const made = { ...state, lastStartedAtMs: at('08:10:00') };
    expect(decideSchedule(hourly, made, at('08:12:00'))).toEqual({
      action: 'wait',
      untilMs: at('08:40:00'),
      stretch: 1,
    });
  });

  it('doubles the interval after a run longer than a third of it, and goes back when runs are short again', () => {
    const state = { ...fresh, lastStartedAtMs: at('08:40:00'), lastDurationMs: 20 * minuteMs };
    expect(decideSchedule(hourly, state, at('09:00:00'))).toEqual({
      action: 'wait',
      untilMs: at('09:40:00'),
      stretch: 1,
    });
    const longer = { ...state, lastDurationMs: 20 * minuteMs + 1 };
    expect(decideSchedule(hourly, longer, at('09:01:00'))).toEqual({
      action: 'wait',
      untilMs: at('10:40:00'),
      stretch: 2,
    });
    const longest = { ...state, lastDurationMs: 61 * minuteMs };
    expect(decideSchedule(hourly, longest, at('09:42:00'))).toEqual({
      action: 'wait',
      untilMs: at('12:40:00'),
      stretch: 4,
    });
    const short = { ...state, lastStartedAtMs: at('12:40:00'), lastDurationMs: minuteMs };
    expect(decideSchedule(hourly, short, at('12:42:00'))).toEqual({
      action: 'wait',
      untilMs: at('13:40:00'),
      stretch: 1,
    });
  });

  it('begins an interrupted run again ten minutes after its start, or at its next moment if that comes earlier', () => {
    const nightly = parseSchedule('0 3 * * *', 'UTC');
    const interrupted = { ...fresh, knownSinceMs: at('01:00:00'), lastStartedAtMs: at('03:00:00') };
    expect(decideSchedule(nightly, interrupted, at('03:02:00'))).toEqual({
      action: 'wait',
      untilMs: at('03:10:00'),
      stretch: 1,
    });
    expect(decideSchedule(nightly, interrupted, at('03:10:00')).action).toBe('run');
    const frequent = parseSchedule('*/5 * * * *', 'UTC');
    expect(decideSchedule(frequent, interrupted, at('03:05:00')).action).toBe('run');
  });

  it('goes on after the clock was set back', () => {
    const state = { ...fresh, lastStartedAtMs: at('08:40:00') + 400 * 24 * hourMs, lastDurationMs: minuteMs };
    expect(decideSchedule(hourly, state, at('09:00:00'))).toEqual({
      action: 'wait',
      untilMs: at('09:40:00'),
      stretch: 1,
    });
  });

  it('refuses what is not a cron expression', () => {
    for (const text of ['', 'hourly', '61 * * * *', '* * * *', '0 0 * * * *', '0 0 30 2 *']) {
      expect(() => parseSchedule(text)).toThrow(/schedule/);
      try {
        parseSchedule(text);
      } catch (error) {
        expect(isCoded(error, 'CONFIG_INVALID')).toBe(true);
      }
    }
  });

  it('uses every moment exactly once, however runs and looks fall', () => {
    const steps = fc.array(
      fc.tuple(fc.integer({ min: 1, max: 5 * hourMs }), fc.integer({ min: 0, max: 15 * minuteMs })),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(steps, (looks) => {
        let now = fresh.knownSinceMs;
        const state = { ...fresh };
        for (const [waitMs, durationMs] of looks) {
          now += waitMs;
          const lastMs = state.lastStartedAtMs ?? state.knownSinceMs;
          const decision = decideSchedule(hourly, state, now);
          expect(decision.action === 'run').toBe(hourly.next(lastMs) <= now);
          if (decision.action === 'wait') continue;
          Object.assign(state, { lastStartedAtMs: now, lastDurationMs: durationMs });
          now += durationMs;
        }
      }),
    );
  });
});
