import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  advancePoint,
  isHourlyDue,
  noPointYet,
  type PointAction,
  type PointEvent,
  type PointState,
  type Positions,
} from '../../../agent/points/point-round.ts';

const positionsAt = (sequence: number): Positions =>
  new Map([['media', { index: '00000000000000aa', sequence }]]);
const began = (cause: 'dump' | 'hourly', sequence: number): PointEvent => {
  return { type: 'began', cause, pin: null, at: 1000, positions: positionsAt(sequence) };
};
const scanned = (sequence: number): PointEvent => ({
  type: 'scanned',
  at: 2000,
  positions: positionsAt(sequence),
});
const worked = (outcome: 'dumped' | 'skipped'): PointEvent => ({ type: 'worked', outcome, at: 3000 });

function play(...events: PointEvent[]): { state: PointState; actions: PointAction[] } {
  let state = noPointYet;
  const actions: PointAction[] = [];
  for (const event of events) {
    const step = advancePoint(state, event);
    ({ state } = step);
    actions.push(...step.actions);
  }
  return { state, actions };
}

it('begins the scan at the first output of the dump, and makes the point when both are through', () => {
  expect(play(began('dump', 5)).actions).toEqual([]);
  expect(play(began('dump', 5), { type: 'firstOutput' }).actions).toEqual([{ type: 'scan' }]);
  const made = {
    type: 'make',
    cause: 'dump',
    pin: null,
    begunAt: 1000,
    from: positionsAt(5),
    to: positionsAt(9),
  };
  const scanFirst = play(began('dump', 5), { type: 'firstOutput' }, scanned(9), worked('dumped'));
  expect(scanFirst.actions).toEqual([{ type: 'scan' }, made]);
  expect(scanFirst.state).toEqual({ madeAt: 3000, paused: false, round: null });
  expect(play(began('dump', 5), { type: 'firstOutput' }, worked('dumped'), scanned(9)).actions).toEqual([
    { type: 'scan' },
    made,
  ]);
});

it('scans once more when another dump gives its first output after the scan began', () => {
  const { actions } = play(
    began('dump', 5),
    { type: 'firstOutput' },
    { type: 'firstOutput' },
    scanned(7),
    worked('dumped'),
    scanned(9),
  );
  expect(actions.map(({ type }) => type)).toEqual(['scan', 'scan', 'make']);
  expect(actions.at(-1)).toMatchObject({ to: positionsAt(9) });
});

it('scans after a dump that failed before its first output, and makes a point all the same', () => {
  const { actions } = play(began('dump', 5), worked('dumped'), scanned(6));
  expect(actions).toMatchObject([{ type: 'scan' }, { type: 'make', to: positionsAt(6) }]);
});

it('makes no point when no dump was needed, and one every hour without any', () => {
  const { actions, state } = play(began('dump', 5), worked('skipped'));
  expect(actions).toEqual([{ type: 'drop' }]);
  expect(isHourlyDue(state, 0)).toBe(true);
  const hourly = play(began('hourly', 5), scanned(6));
  expect(hourly.actions).toMatchObject([
    { type: 'scan' },
    { type: 'make', cause: 'hourly', from: positionsAt(5) },
  ]);
  expect(isHourlyDue(hourly.state, 2000 + 60 * 60_000)).toBe(false);
  expect(isHourlyDue(hourly.state, 2000 + 61 * 60_000)).toBe(true);
  expect(isHourlyDue(hourly.state, 1999)).toBe(true);
});

it('gives a round up at a pause, and makes no point until the pause is over', () => {
  const paused = play(
    began('dump', 5),
    { type: 'firstOutput' },
    { type: 'paused' },
    worked('dumped'),
    scanned(9),
  );
  expect(paused.actions).toEqual([{ type: 'scan' }, { type: 'drop' }]);
  expect(isHourlyDue(paused.state, 10 ** 12)).toBe(false);
  expect(advancePoint(paused.state, began('dump', 9)).actions).toEqual([{ type: 'drop' }]);
  expect(isHourlyDue(advancePoint(paused.state, { type: 'resumed' }).state, 10 ** 12)).toBe(true);
});

it('ends every round once, with positions of a scan that began after the last first output', () => {
  const anyEvents = fc.array(
    fc.constantFrom<'output' | 'scanned' | 'worked' | 'paused'>('output', 'scanned', 'worked', 'paused'),
    {
      maxLength: 12,
    },
  );
  fc.assert(
    fc.property(anyEvents, (words) => {
      let [working, lastOutput, time, ends] = [true, -1, 0, 0];
      let scanBegunAt: number | null = null;
      let state = advancePoint(noPointYet, began('dump', 0)).state;
      for (const word of [...words, 'worked', 'scanned', 'scanned'] as const) {
        time += 1;
        if (word === 'scanned' && scanBegunAt === null) continue;
        if (word !== 'scanned' && word !== 'paused' && !working) continue;
        const endedScan = scanBegunAt;
        if (word === 'scanned') scanBegunAt = null;
        if (word === 'output') lastOutput = time;
        if (word === 'worked') working = false;
        const event: PointEvent =
          word === 'output'
            ? { type: 'firstOutput' }
            : word === 'paused'
              ? { type: 'paused' }
              : word === 'worked'
                ? worked('dumped')
                : scanned(endedScan ?? 0);
        const step = advancePoint(state, event);
        ({ state } = step);
        for (const action of step.actions) {
          if (action.type === 'scan') scanBegunAt = time;
          else ends += 1;
          if (action.type === 'make')
            expect(action.to.get('media')?.sequence).toBeGreaterThanOrEqual(lastOutput);
        }
      }
      expect(state.round).toBeNull();
      expect(ends).toBe(1);
    }),
  );
});
