/** One for each guard, and one where nobody can say whether a guard had hit. */
export const guardCodes = [
  'DUMP_SHRUNK',
  'FREEZE_UNKNOWN',
  'MASS_CHANGE',
  'PACKS_SURGED',
  'RECIPIENTS_CHANGED',
] as const;
export type GuardCode = (typeof guardCodes)[number];

/**
 * What a guard has found. `folder`: null where it is about the agent. `since`: when, ISO 8601. `from`: what came later than that
 * was judged, ms by the clock of the folder. `what`: for people.
 */
export type GuardHit = {
  folder: string | null;
  code: GuardCode;
  since: string;
  from: number;
  what: string;
};

/** What came to that folder until `at` (ms, the clock of the folder) does not hit that guard; `keyIds`: the keys that were accepted. */
type Acceptance = { folder: string; code: GuardCode; at: number; keyIds: string[] | null };

/** Of one agent: nothing of it expires while there are hits. `releases`: the last ones, the oldest first. */
export type FreezeState = {
  hits: GuardHit[];
  accepted: Acceptance[];
  releases: { at: string; hits: GuardHit[] }[];
};

export const notFrozen: FreezeState = { hits: [], accepted: [], releases: [] };

const releasesMax = 100;

/** A hit that there is already keeps its beginning. */
export function withHit(state: FreezeState, hit: GuardHit): FreezeState {
  const before = hitOf(state, hit.folder, hit.code);
  if (before === null) return { ...state, hits: [...state.hits, hit] };
  const { since, from } = before;
  return { ...state, hits: state.hits.map((one) => (one === before ? { ...hit, since, from } : one)) };
}

/** Ends the freeze; `accept` says up to where a folder is as it should be. */
export function released(
  state: FreezeState,
  at: string,
  accept: (hit: GuardHit & { folder: string }) => { at: number; keyIds: string[] | null },
): FreezeState {
  if (state.hits.length === 0) return state;
  const accepted = state.hits.flatMap((hit): Acceptance[] => {
    const { folder, code } = hit;
    return folder === null ? [] : [{ folder, code, ...accept({ ...hit, folder }) }];
  });
  const others = state.accepted.filter(
    (one) => !accepted.some(({ folder, code }) => folder === one.folder && code === one.code),
  );
  return {
    hits: [],
    accepted: [...others, ...accepted],
    releases: [...state.releases, { at, hits: state.hits }].slice(-releasesMax),
  };
}

export function hitOf({ hits }: FreezeState, folder: string | null, code: GuardCode): GuardHit | null {
  return hits.find((hit) => hit.folder === folder && hit.code === code) ?? null;
}

export function acceptanceOf({ accepted }: FreezeState, folder: string, code: GuardCode): Acceptance | null {
  return accepted.find((one) => one.folder === folder && one.code === code) ?? null;
}

/** After what moment things are judged: where the open hit began, else the window, less what was accepted in it. */
export function judgedFrom(
  state: FreezeState,
  { folder, code }: { folder: string; code: GuardCode },
  windowStart: number,
): number {
  const hit = hitOf(state, folder, code);
  if (hit !== null) return hit.from;
  return Math.max(windowStart, acceptanceOf(state, folder, code)?.at ?? -Infinity);
}
