/** Where the mirror folders stand: index (16 hexadecimal digits) and last committed sequence by folder id. */
export type Positions = ReadonlyMap<string, { index: string; sequence: number }>;

type PointCause = 'dump' | 'asked' | 'hourly';

/** A point in the making. */
type Round = {
  cause: PointCause;
  pin: string | null;
  /** ms since 1970. */
  begunAt: number;
  from: Positions;
  /** Its dumps are not through yet. */
  working: boolean;
  /** There is something to make a point of: a dump gave output or failed, or none is awaited. */
  needed: boolean;
  /** The full scan of all mirror folders; `again`: one more must follow the one that runs. */
  scan: 'none' | 'running' | 'again';
  /** Where the folders stood after the last scan; null before it ended. */
  to: Positions | null;
};

/** `madeAt`: ms; when the last round ended, null before the first. */
export type PointState = { madeAt: number | null; paused: boolean; round: Round | null };

export type PointEvent =
  /** Dumps are about to begin, or a point is asked for (`hourly`) for which there is no dump. */
  | { type: 'began'; cause: PointCause; pin: string | null; at: number; positions: Positions }
  /** A dump gave its first bytes: what it shows of its source is settled. */
  | { type: 'firstOutput' }
  /** No dump of the round is left. `skipped`: none was needed. */
  | { type: 'worked'; outcome: 'dumped' | 'skipped'; at: number }
  | { type: 'scanned'; at: number; positions: Positions }
  | { type: 'paused' }
  | { type: 'resumed' };

export type PointAction =
  | { type: 'scan' }
  | { type: 'make'; cause: PointCause; pin: string | null; begunAt: number; from: Positions; to: Positions }
  /** The round is over without a point. */
  | { type: 'drop' };

export const noPointYet: PointState = { madeAt: null, paused: false, round: null };

/** A little more than an hour, so that a dump that runs every hour always comes first. */
const withoutDumpMs = 61 * 60_000;

/** Whether a point must be made though no dump asks for one. */
export function isHourlyDue({ madeAt, paused, round }: PointState, now: number): boolean {
  if (paused || round !== null) return false;
  // a clock that was set back does not keep points from being made
  return madeAt === null || now - madeAt >= withoutDumpMs || now < madeAt;
}

type Step = { state: PointState; actions: PointAction[] };

/**
 * One step. A round: where the folders stand before its dumps (`from`), a full scan that began after the last of the
 * dumps had given its first bytes, where they stand then (`to`). Only one round at a time; `began` in a round is a
 * defect of the caller. A pause ends the round without a point.
 */
export function advancePoint(state: PointState, event: PointEvent): Step {
  if (event.type === 'began') return begin(state, event);
  if (event.type === 'resumed') return { state: { ...state, paused: false }, actions: [] };
  if (event.type === 'paused') return drop({ ...state, paused: true });
  const { round } = state;
  if (round === null) return { state, actions: [] };
  switch (event.type) {
    case 'firstOutput':
      return scanAfresh(state, { ...round, needed: true });
    case 'worked': {
      const worked = { ...round, working: false, needed: round.needed || event.outcome === 'dumped' };
      if (!worked.needed) return drop(state);
      const isScanned = worked.scan !== 'none' || worked.to !== null;
      return isScanned ? makeIfReady(state, worked, event.at) : scanAfresh(state, worked);
    }
    case 'scanned':
      if (round.scan === 'again') return scanAfresh(state, { ...round, scan: 'none' });
      return makeIfReady(state, { ...round, scan: 'none', to: event.positions }, event.at);
  }
}

function begin(state: PointState, event: Extract<PointEvent, { type: 'began' }>): Step {
  if (state.round !== null) throw new Error('a restore point is being made already');
  if (state.paused) return { state, actions: [{ type: 'drop' }] };
  const { cause, pin, at, positions } = event;
  const round: Round = {
    cause,
    pin,
    begunAt: at,
    from: positions,
    working: cause !== 'hourly',
    needed: cause === 'hourly',
    scan: 'none',
    to: null,
  };
  return cause === 'hourly' ? scanAfresh(state, round) : { state: { ...state, round }, actions: [] };
}

/** A scan begins now, or right behind the one that runs. */
function scanAfresh(state: PointState, round: Round): Step {
  if (round.scan !== 'none') return { state: { ...state, round: { ...round, scan: 'again' } }, actions: [] };
  return { state: { ...state, round: { ...round, scan: 'running', to: null } }, actions: [{ type: 'scan' }] };
}

function makeIfReady(state: PointState, round: Round, at: number): Step {
  if (round.working || round.to === null || round.scan !== 'none')
    return { state: { ...state, round }, actions: [] };
  const { cause, pin, begunAt, from, to } = round;
  return {
    state: { ...state, madeAt: at, round: null },
    actions: [{ type: 'make', cause, pin, begunAt, from, to }],
  };
}

function drop(state: PointState): Step {
  return { state: { ...state, round: null }, actions: state.round === null ? [] : [{ type: 'drop' }] };
}
