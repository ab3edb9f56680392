import { sameContent, type FileRecord } from '../../shared/records/file-record.ts';
import { isBelow, parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { GapEntry, Holding, LiveState, RemoveEntry, SetEntry } from './journal-entry.ts';
import type { LiveRow } from './index-rows.ts';
import { isWithin, laterMoment, momentOf, type Moment } from './moment.ts';

export type LiveView = {
  live(path: RelativePath): LiveRow | null;
  liveBelow(path: RelativePath): LiveRow[];
  intervals: { openGap(path: RelativePath): Moment | null; lastEnd(path: RelativePath): Moment | null };
};

export type PlanOptions = {
  indexId: Buffer;
  indexNumber: number;
  /** The last sequence of that index at which all states of all paths were known. */
  settled: number;
  at: number;
  nextVersionId: number;
  /** A free name below `versions/` for the bytes that are at the path now. */
  nameVersion(path: RelativePath): string;
};

export type BatchPlan = {
  entries: (SetEntry | RemoveEntry | GapEntry)[];
  /** Those whose `temp` must be filled in: their content has to be staged. */
  contents: SetEntry[];
  nextVersionId: number;
  /** Live records, versions and gaps that there are more of afterwards; a deletion only turns one into the other. */
  addedRows: number;
};

/** `at`: when what was there before ended, by the last record that touched the path. */
type Touched = { before: LiveRow | null; after: Holding | null; at: Moment };

/**
 * The net effect of records, taken in the order of their sequences, on each path. What stands in the way (a file where
 * a directory must be, the content of a directory where a file must be) is deleted, which keeps it as a version.
 */
export function planBatch(
  view: LiveView,
  { records, missing }: { records: readonly FileRecord[]; missing: readonly FileRecord[] },
  options: PlanOptions,
): BatchPlan {
  const draft = new Draft(view);
  const start = momentOf(options.indexNumber, 0);
  for (const record of records.toSorted((a, b) => a.sequence - b.sequence)) {
    const { state, path, sequence, replaces } = record;
    const moment = momentOf(options.indexNumber, sequence);
    if (state.kind === 'deleted') {
      draft.put(path, null, moment);
      continue;
    }
    for (let above = parentPath(path); above !== null; above = parentPath(above))
      draft.clearWay(above, moment);
    if (state.kind !== 'directory') draft.clearBelow(path, moment);
    const after = holdingOf(state, path, draft, { ...options, sequence, replaces, moment });
    draft.put(path, after, isNewHere(draft.before(path), record, options) ? start : moment);
  }
  const plan = describe(draft.touched(), options);
  const gaps = [
    ...records.flatMap((record) => gapsOf(view, draft.before(record.path), record, false, options)),
    ...missing.flatMap((record) => gapsOf(view, draft.before(record.path), record, true, options)),
    ...records.flatMap((record) => neverKept(draft, record, options)),
  ];
  return { ...plan, entries: [...plan.entries, ...gaps], addedRows: plan.addedRows + gaps.length };
}

/** Whether the index never had an earlier state of the path: what is there of another index was gone before this one began. */
function isNewHere(before: LiveRow | null, { replaces }: FileRecord, options: PlanOptions): boolean {
  return replaces === null && isOfOtherIndex(before, options);
}

function isOfOtherIndex(before: LiveRow | null, { indexId }: PlanOptions): boolean {
  return before !== null && !before.holding.indexId.equals(indexId);
}

/**
 * What a record tells of contents that never came: of those between the last known record of the path and the one that
 * this one replaced, and, where it is missing, of its own. The next record of the path ends an open gap; one that is new
 * in its index tells that a gap of an older one, and what is held of that, was over before the index began.
 */
function gapsOf(
  view: LiveView,
  before: LiveRow | null,
  record: FileRecord,
  isMissing: boolean,
  options: PlanOptions,
): GapEntry[] {
  const { path, sequence, replaces } = record;
  const { indexNumber } = options;
  const moment = momentOf(indexNumber, sequence);
  const start = momentOf(indexNumber, 0);
  const missedSince = isNewHere(before, record, options) ? start : moment;
  const openSince = view.intervals.openGap(path);
  if (openSince !== null) {
    const ended = replaces === null && openSince < start ? start : moment;
    const closed: GapEntry = { type: 'gap', path, begun: openSince, ended };
    return isMissing ? [closed, { type: 'gap', path, begun: missedSince, ended: null }] : [closed];
  }
  const known = knownUntil(view, before, path, options);
  const isBroken = replaces !== null && momentOf(indexNumber, replaces) > known;
  // of what an older index had nobody can say whether it was still there when this one began
  const missedBefore = isOfOtherIndex(before, options) ? start : known + 1n;
  const begun = isBroken ? missedBefore : missedSince;
  if (isMissing) return [{ type: 'gap', path, begun, ended: null }];
  return isBroken ? [{ type: 'gap', path, begun, ended: moment }] : [];
}

/** A content that something else in the same batch stands in the way of is kept nowhere. */
function neverKept(draft: Draft, { path, sequence, state }: FileRecord, options: PlanOptions): GapEntry[] {
  const cleared = draft.cleared(path);
  if (state.kind === 'deleted' || cleared === null) return [];
  return [{ type: 'gap', path, begun: momentOf(options.indexNumber, sequence), ended: cleared }];
}

/** Up to where all states of the path are known, in the index that the records are of. */
function knownUntil(
  view: LiveView,
  before: LiveRow | null,
  path: RelativePath,
  { indexId, indexNumber, settled }: PlanOptions,
): Moment {
  const floor = momentOf(indexNumber, settled);
  const last =
    before?.holding.indexId.equals(indexId) === true
      ? momentOf(indexNumber, before.holding.sequence)
      : view.intervals.lastEnd(path);
  return last !== null && isWithin(indexNumber, last) ? laterMoment(last, floor) : floor;
}

function holdingOf(
  state: LiveState,
  path: RelativePath,
  draft: Draft,
  announced: { indexId: Buffer; sequence: number; replaces: number | null; at: number; moment: Moment },
): Holding {
  const { indexId, sequence, replaces, at, moment } = announced;
  const before = draft.before(path);
  const announcedAs = { state, indexId, sequence, replaces };
  if (before === null) return { ...announcedAs, receivedAt: at, begun: moment };
  // what was taken from plain files may count as later than the record that tells of it again
  if (!sameContent(before.holding.state, state))
    return { ...announcedAs, receivedAt: at, begun: laterMoment(before.holding.begun, moment) };
  const { receivedAt, begun } = before.holding;
  return { ...announcedAs, receivedAt, begun };
}

function describe(touched: Iterable<[RelativePath, Touched]>, options: PlanOptions): BatchPlan {
  const plan: BatchPlan = { entries: [], contents: [], nextVersionId: options.nextVersionId, addedRows: 0 };
  for (const [path, { before, after, at }] of touched) {
    const same = before !== null && after !== null && sameContent(before.holding.state, after.state);
    const replaced = before === null || same ? null : replacedBy(plan, path, before.holding, at, options);
    if (after === null) {
      if (replaced !== null) plan.entries.push({ type: 'remove', path, replaced });
      continue;
    }
    if (!same) plan.addedRows += 1;
    const namedIn = options.indexId;
    const entry: SetEntry = { type: 'set', path, holding: after, namedIn, temp: null, replaced };
    plan.entries.push(entry);
    if (after.state.kind === 'file' && !same) plan.contents.push(entry);
  }
  return plan;
}

function replacedBy(
  plan: BatchPlan,
  path: RelativePath,
  holding: Holding,
  ended: Moment,
  options: PlanOptions,
) {
  const id = plan.nextVersionId;
  plan.nextVersionId += 1;
  const name = holding.state.kind === 'file' ? options.nameVersion(path) : null;
  return { id, name, holding, ended: laterMoment(holding.begun, ended) };
}

/** The store's rows with the batch's changes laid over them. */
class Draft {
  readonly #view: LiveView;
  readonly #touched = new Map<RelativePath, Touched>();
  readonly #rows = new Map<RelativePath, LiveRow | null>();
  /** Every directory above a path that the batch puts something at. */
  readonly #waysPut = new Set<RelativePath>();

  constructor(view: LiveView) {
    this.#view = view;
  }

  touched(): Iterable<[RelativePath, Touched]> {
    return this.#touched;
  }

  /** When the batch left nothing at the path; null: something is there, or the batch does not say. */
  cleared(path: RelativePath): Moment | null {
    const touched = this.#touched.get(path);
    return touched === undefined || touched.after !== null ? null : touched.at;
  }

  before(path: RelativePath): LiveRow | null {
    const known = this.#rows.get(path);
    if (known !== undefined) return known;
    const row = this.#view.live(path);
    this.#rows.set(path, row);
    return row;
  }

  put(path: RelativePath, after: Holding | null, at: Moment): void {
    this.#touched.set(path, { before: this.before(path), after, at });
    if (after === null) return;
    for (let above = parentPath(path); above !== null; above = parentPath(above)) {
      if (this.#waysPut.has(above)) break;
      this.#waysPut.add(above);
    }
  }

  /** Deletes the file or link at a path that must be a directory. */
  clearWay(path: RelativePath, at: Moment): void {
    const touched = this.#touched.get(path);
    const kind = touched === undefined ? this.before(path)?.holding.state.kind : touched.after?.state.kind;
    if (kind === 'file' || kind === 'symlink') this.put(path, null, at);
  }

  /** Deletes everything below a path that must not be a directory. */
  clearBelow(path: RelativePath, at: Moment): void {
    const kind = this.before(path)?.holding.state.kind;
    if (kind !== 'file' && kind !== 'symlink') {
      for (const row of this.#view.liveBelow(path)) {
        this.#rows.set(row.path, row);
        if (this.#touched.get(row.path)?.after !== null) this.put(row.path, null, at);
      }
    }
    if (!this.#waysPut.has(path)) return;
    for (const [other, { after }] of this.#touched) {
      if (after !== null && isBelow(other, path)) this.put(other, null, at);
    }
  }
}
