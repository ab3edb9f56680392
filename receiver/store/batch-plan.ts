import { sameContent, type FileRecord } from '../../shared/records/file-record.ts';
import { isBelow, parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { Holding, LiveState, RemoveEntry, SetEntry } from './journal-entry.ts';
import type { LiveRow } from './index-rows.ts';

export type LiveView = {
  live(path: RelativePath): LiveRow | null;
  liveBelow(path: RelativePath): LiveRow[];
};

export type PlanOptions = {
  indexId: Buffer;
  at: number;
  nextVersionId: number;
  /** A free name below `versions/` for the bytes that are at the path now. */
  nameVersion(path: RelativePath): string;
};

export type BatchPlan = {
  entries: (SetEntry | RemoveEntry)[];
  /** Those whose `temp` must be filled in: their content has to be staged. */
  contents: SetEntry[];
  nextVersionId: number;
  /** Live records and versions that there are more of afterwards; a deletion only turns one into the other. */
  addedRows: number;
};

type Touched = { before: LiveRow | null; after: Holding | null };

/**
 * The net effect of records, taken in the order of their sequences, on each path. What stands in the way (a file where
 * a directory must be, the content of a directory where a file must be) is deleted, which keeps it as a version.
 */
export function planBatch(view: LiveView, records: readonly FileRecord[], options: PlanOptions): BatchPlan {
  const draft = new Draft(view);
  for (const record of records.toSorted((a, b) => a.sequence - b.sequence)) {
    const { state, path, sequence, replaces } = record;
    if (state.kind === 'deleted') {
      draft.put(path, null);
      continue;
    }
    for (let above = parentPath(path); above !== null; above = parentPath(above)) draft.clearWay(above);
    if (state.kind !== 'directory') draft.clearBelow(path);
    draft.put(path, holdingOf(state, record.path, draft, { ...options, sequence, replaces }));
  }
  return describe(draft.touched(), options);
}

function holdingOf(
  state: LiveState,
  path: RelativePath,
  draft: Draft,
  announced: { indexId: Buffer; sequence: number; replaces: number | null; at: number },
): Holding {
  const { indexId, sequence, replaces, at } = announced;
  const before = draft.before(path);
  const receivedAt =
    before !== null && sameContent(before.holding.state, state) ? before.holding.receivedAt : at;
  return { state, indexId, sequence, replaces, receivedAt };
}

function describe(touched: Iterable<[RelativePath, Touched]>, options: PlanOptions): BatchPlan {
  const plan: BatchPlan = { entries: [], contents: [], nextVersionId: options.nextVersionId, addedRows: 0 };
  for (const [path, { before, after }] of touched) {
    const same = before !== null && after !== null && sameContent(before.holding.state, after.state);
    const replaced = before === null || same ? null : replacedBy(plan, path, before.holding, options);
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

function replacedBy(plan: BatchPlan, path: RelativePath, holding: Holding, options: PlanOptions) {
  const id = plan.nextVersionId;
  plan.nextVersionId += 1;
  return { id, name: holding.state.kind === 'file' ? options.nameVersion(path) : null, holding };
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

  before(path: RelativePath): LiveRow | null {
    const known = this.#rows.get(path);
    if (known !== undefined) return known;
    const row = this.#view.live(path);
    this.#rows.set(path, row);
    return row;
  }

  put(path: RelativePath, after: Holding | null): void {
    this.#touched.set(path, { before: this.before(path), after });
    if (after === null) return;
    for (let above = parentPath(path); above !== null; above = parentPath(above)) {
      if (this.#waysPut.has(above)) break;
      this.#waysPut.add(above);
    }
  }

  /** Deletes the file or link at a path that must be a directory. */
  clearWay(path: RelativePath): void {
    const touched = this.#touched.get(path);
    const kind = touched === undefined ? this.before(path)?.holding.state.kind : touched.after?.state.kind;
    if (kind === 'file' || kind === 'symlink') this.put(path, null);
  }

  /** Deletes everything below a path that must not be a directory. */
  clearBelow(path: RelativePath): void {
    const kind = this.before(path)?.holding.state.kind;
    if (kind !== 'file' && kind !== 'symlink') {
      for (const row of this.#view.liveBelow(path)) {
        this.#rows.set(row.path, row);
        if (this.#touched.get(row.path)?.after !== null) this.put(row.path, null);
      }
    }
    if (!this.#waysPut.has(path)) return;
    for (const [other, { after }] of this.#touched) {
      if (after !== null && isBelow(other, path)) this.put(other, null);
    }
  }
}
