/**
 * What a mirror store has to be after operations, in the simplest form: states are texts. A file is the name of its
 * content, with `+x` when it is executable; `link:TARGET`, `dir:MODE`.
 */
export type ModelState = string;

/** `sequence`: that of the first change. `missing`: announced, then gone. */
export type StoreOperation =
  | {
      do: 'send';
      indexId: string;
      sequence: number;
      changes: [path: string, state: ModelState | null][];
      missing: string[];
    }
  | { do: 'complete'; indexId: string }
  | { do: 'expire'; keep: number }
  | { do: 'reopen'; losingDatabase: boolean };

/** What can be seen of a store, or of a model. Paths are sorted; versions go from old to new. */
export type StoreImage = {
  position: string | null;
  live: [path: string, state: ModelState][];
  versions: [path: string, states: ModelState[]][];
};

export class StoreModel {
  #position: { indexId: string; sequence: number } | null = null;
  #completeIndexId: string | null = null;
  #live = new Map<string, { state: ModelState; namedIn: string }>();
  #versions = new Map<string, ModelState[]>();

  /** The model after the operation. A batch counts as a whole: what only some of its records say leaves no version. */
  apply(operation: StoreOperation): StoreModel {
    const next = this.#copy();
    next.#apply(operation);
    for (const [path, { state }] of this.#live) {
      const after = next.#live.get(path)?.state;
      if (after !== undefined && contentName(after) === contentName(state)) continue;
      next.#versions.set(path, [...(next.#versions.get(path) ?? []), state]);
    }
    return next;
  }

  image(): StoreImage {
    return {
      position: this.#position === null ? null : `${this.#position.indexId}:${this.#position.sequence}`,
      live: sorted([...this.#live].map(([path, { state }]) => [path, state])),
      versions: sorted([...this.#versions].filter(([, states]) => states.length > 0)),
    };
  }

  #copy(): StoreModel {
    const copy = new StoreModel();
    copy.#position = this.#position;
    copy.#completeIndexId = this.#completeIndexId;
    copy.#live = new Map(this.#live);
    copy.#versions = new Map([...this.#versions].map(([path, states]) => [path, [...states]]));
    return copy;
  }

  #apply(operation: StoreOperation): void {
    switch (operation.do) {
      case 'send': {
        const { indexId, sequence, changes, missing } = operation;
        for (const [path, state] of changes) this.#put(path, state, indexId);
        for (const path of missing) {
          const held = this.#live.get(path);
          if (held !== undefined) this.#live.set(path, { ...held, namedIn: indexId });
        }
        this.#position = { indexId, sequence: sequence + changes.length - 1 };
        if (this.#completeIndexId !== indexId) this.#completeIndexId = null;
        return;
      }
      case 'complete':
        if (this.#completeIndexId === operation.indexId) return;
        for (const [path, { namedIn }] of this.#live)
          if (namedIn !== operation.indexId) this.#live.delete(path);
        this.#completeIndexId = operation.indexId;
        return;
      case 'expire':
        for (const [path, states] of this.#versions) this.#versions.set(path, states.slice(-operation.keep));
        return;
      case 'reopen':
    }
  }

  #put(path: string, state: ModelState | null, namedIn: string): void {
    if (state === null) {
      this.#live.delete(path);
      return;
    }
    const isDirectory = state.startsWith('dir:');
    for (const [other, { state: held }] of this.#live) {
      if (path.startsWith(`${other}/`) && !held.startsWith('dir:')) this.#live.delete(other);
      if (other.startsWith(`${path}/`) && !isDirectory) this.#live.delete(other);
    }
    this.#live.set(path, { state, namedIn });
  }
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
