/**
 * What a mirror store has to be after operations, in the simplest form: states are texts. A file is the name of its
 * content, with `+x` when it is executable; `link:TARGET`, `dir:MODE`.
 */
export type ModelState = string;

/**
 * `sequence`: that of the first change; those of the missing ones follow. `replaces`: the sequence that the path had before,
 * or null. `missing`: announced, then gone. `isHead`: the agent had nothing later.
 */
export type StoreOperation =
  | {
      do: 'send';
      indexId: string;
      sequence: number;
      changes: [path: string, state: ModelState | null, replaces: number | null][];
      missing: [path: string, replaces: number | null][];
      isHead: boolean;
    }
  | { do: 'complete'; indexId: string }
  | { do: 'expire'; keep: number }
  | { do: 'reopen'; losingDatabase: boolean };

/** `NUMBER of the index:SEQUENCE`. */
type ModelMoment = string;
type ModelGap = [begun: ModelMoment, ended: ModelMoment | null];
type ModelVersion = [state: ModelState, begun: ModelMoment, ended: ModelMoment];

/** What can be seen of a store, or of a model. Paths are sorted; versions and gaps go from old to new. */
export type StoreImage = {
  position: string | null;
  live: [path: string, state: ModelState, begun: ModelMoment][];
  versions: [path: string, states: ModelVersion[]][];
  gaps: [path: string, gaps: ModelGap[]][];
};

/** `sequence`: of the index in which it was announced last. */
type ModelLive = {
  state: ModelState;
  namedIn: string;
  begun: ModelMoment;
  announced: ModelMoment;
};

export class StoreModel {
  #position: { indexId: string; sequence: number } | null = null;
  #completeIndexId: string | null = null;
  #indexNumber = 0;
  #settled = 0;
  #live = new Map<string, ModelLive>();
  #versions = new Map<string, ModelVersion[]>();
  #gaps = new Map<string, ModelGap[]>();
  #before: ReadonlyMap<string, ModelLive> = new Map();
  /** When what was at each path ended. */
  #touched = new Map<string, ModelMoment>();

  /** The model after the operation. A batch counts as a whole: what only some of its records say leaves no version. */
  apply(operation: StoreOperation): StoreModel {
    const next = this.#copy();
    next.#apply(operation);
    for (const [path, { state, begun }] of this.#live) {
      const after = next.#live.get(path);
      if (after !== undefined && contentName(after.state) === contentName(state)) {
        after.begun = begun;
        continue;
      }
      const ended = next.#touched.get(path) ?? '';
      next.#versions.set(path, [...(next.#versions.get(path) ?? []), [state, begun, ended]]);
    }
    return next;
  }

  image(): StoreImage {
    return {
      position: this.#position === null ? null : `${this.#position.indexId}:${this.#position.sequence}`,
      live: [...this.#live]
        .map(([path, { state, begun }]): StoreImage['live'][number] => [path, state, begun])
        .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
      versions: sorted([...this.#versions].filter(([, states]) => states.length > 0)),
      gaps: sorted([...this.#gaps]),
    };
  }

  #copy(): StoreModel {
    const copy = new StoreModel();
    copy.#position = this.#position;
    copy.#completeIndexId = this.#completeIndexId;
    copy.#indexNumber = this.#indexNumber;
    copy.#settled = this.#settled;
    copy.#before = this.#live;
    copy.#live = new Map([...this.#live].map(([path, live]) => [path, { ...live }]));
    copy.#versions = new Map([...this.#versions].map(([path, states]) => [path, [...states]]));
    copy.#gaps = new Map([...this.#gaps].map(([path, gaps]) => [path, gaps.map(([b, e]) => [b, e])]));
    return copy;
  }

  #apply(operation: StoreOperation): void {
    switch (operation.do) {
      case 'send':
        this.#send(operation);
        return;
      case 'complete':
        this.#complete(operation.indexId);
        return;
      case 'expire':
        for (const [path, states] of this.#versions) this.#versions.set(path, states.slice(-operation.keep));
        return;
      case 'reopen':
    }
  }

  #send({ indexId, sequence, changes, missing, isHead }: StoreOperation & { do: 'send' }): void {
    if (this.#position?.indexId !== indexId) {
      this.#indexNumber += 1;
      this.#settled = 0;
    }
    for (const [at, [path, , replaces]] of changes.entries())
      this.#noteGap(path, sequence + at, replaces, false);
    for (const [at, [path, replaces]] of missing.entries())
      this.#noteGap(path, sequence + changes.length + at, replaces, true);
    for (const [at, [path, state, replaces]] of changes.entries())
      this.#put(path, state, indexId, sequence + at, replaces === null);
    for (const [path] of missing) {
      const held = this.#live.get(path);
      if (held !== undefined) this.#live.set(path, { ...held, namedIn: indexId });
    }
    for (const [at, [path, state]] of changes.entries()) {
      if (state === null || this.#live.has(path)) continue;
      const never: ModelGap = [this.#moment(sequence + at), this.#touched.get(path) ?? ''];
      this.#gaps.set(path, [...(this.#gaps.get(path) ?? []), never]);
    }
    const through = sequence + changes.length + missing.length - 1;
    this.#position = { indexId, sequence: through };
    if (isHead) this.#settled = through;
    if (this.#completeIndexId !== indexId) this.#completeIndexId = null;
  }

  #noteGap(path: string, sequence: number, replaces: number | null, isMissing: boolean): void {
    const gaps = this.#gaps.get(path) ?? [];
    const open = gaps.find(([, ended]) => ended === null);
    const moment = this.#moment(sequence);
    const seen = Math.max(this.#seen(path), this.#settled);
    const skips = replaces !== null && replaces > seen;
    const start = this.#moment(0);
    const isOlder = this.#live.get(path)?.announced.startsWith(`${this.#indexNumber}:`) === false;
    const missedSince = isOlder && replaces === null ? start : moment;
    if (open !== undefined) {
      open[1] = replaces === null && !open[0].startsWith(`${this.#indexNumber}:`) ? start : moment;
      if (isMissing) gaps.push([missedSince, null]);
    } else if (isMissing || skips) {
      const skipped = isOlder ? start : this.#moment(seen + 1);
      gaps.push([skips ? skipped : missedSince, isMissing ? null : moment]);
    }
    // one gap takes the place of another that begins with it
    const kept = new Map(gaps.map((gap) => [gap[0], gap]));
    const inOrder = [...kept.values()].sort(([a], [b]) => compareMoments(a, b));
    if (inOrder.length > 0) this.#gaps.set(path, inOrder);
  }

  /** The last sequence of the path in this index that something is kept of. */
  #seen(path: string): number {
    const live = this.#live.get(path)?.announced;
    const versions = this.#versions.get(path) ?? [];
    const gaps = this.#gaps.get(path) ?? [];
    const ends = [...versions.map(([, , ended]) => ended), ...gaps.map(([, ended]) => ended ?? '')];
    const kept = live === undefined ? ends : [live];
    const sequences = kept
      .filter((moment) => moment.startsWith(`${this.#indexNumber}:`))
      .map((moment) => Number(moment.split(':')[1]));
    return Math.max(0, ...sequences);
  }

  #complete(indexId: string): void {
    if (this.#completeIndexId === indexId) return;
    for (const [path, { namedIn }] of this.#live) {
      if (namedIn !== indexId) this.#remove(path, this.#moment(0));
    }
    for (const gaps of this.#gaps.values()) {
      for (const gap of gaps)
        if (gap[1] === null && !gap[0].startsWith(`${this.#indexNumber}:`)) gap[1] = this.#moment(0);
    }
    this.#completeIndexId = indexId;
  }

  #moment(sequence: number): ModelMoment {
    return `${this.#indexNumber}:${sequence}`;
  }

  #remove(path: string, at: ModelMoment): void {
    this.#live.delete(path);
    this.#touched.set(path, at);
  }

  #put(path: string, state: ModelState | null, namedIn: string, sequence: number, isFirst: boolean): void {
    const moment = this.#moment(sequence);
    if (state === null) {
      this.#remove(path, moment);
      return;
    }
    const clear = (other: string): void => this.#remove(other, moment);
    const isDirectory = state.startsWith('dir:');
    for (const [other, { state: held }] of this.#live) {
      if (path.startsWith(`${other}/`) && !held.startsWith('dir:')) clear(other);
      if (other.startsWith(`${path}/`) && !isDirectory) clear(other);
    }
    const isOlder = this.#before.get(path)?.announced.startsWith(`${this.#indexNumber}:`) === false;
    this.#live.set(path, { state, namedIn, begun: moment, announced: moment });
    this.#touched.set(path, isFirst && isOlder ? this.#moment(0) : moment);
  }
}

function compareMoments(a: ModelMoment, b: ModelMoment): number {
  const [[index = 0, sequence = 0], [otherIndex = 0, other = 0]] = [a, b].map((moment) =>
    moment.split(':').map(Number),
  ) as [number[], number[]];
  return index - otherIndex || sequence - other;
}

/** What two states that differ only in metadata have in common. */
function contentName(state: ModelState): string {
  return state.startsWith('dir:') ? 'dir' : state.replace(/\+x$/, '');
}

function sorted<T>(entries: [string, T][]): [string, T][] {
  return entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Paths that a real tree could have, and that are in each other's way: byte strings. */
export const modelPaths = [
  'a',
  'd',
  'd/x.txt',
  'd/e',
  'd/e/y',
  'd/e/f/z.tar.gz',
  'name with\nnewline',
  Buffer.from('éléphant 🐘').toString('latin1'),
  'not \xff utf-8',
  `${'n'.repeat(250)}.jpeg`,
  `long/${'p'.repeat(255)}`,
  '.hidden',
];

export const modelContents = ['c0', 'c1', 'c2', 'c3', 'c4', 'empty', 'big'];

/** The bytes that a content name stands for. */
export function modelBytes(name: string): Buffer {
  if (name === 'empty') return Buffer.alloc(0);
  return Buffer.from(name === 'big' ? 'big content '.repeat(20_000) : `content ${name}`);
}
