import { isBelow, parentPath, type RelativePath } from '../../shared/records/relative-path.ts';

/**
 * The directories where the next change is likely: recently changed ones and their ancestors, oldest first. At most
 * `sizeMax` are looked at every minute; the newest `watchMax` of them are watched.
 */
export type HotSet = {
  /** Oldest first; a directory always stands before its ancestors. */
  readonly order: readonly RelativePath[];
  readonly watched: ReadonlySet<RelativePath>;
  readonly sizeMax: number;
  readonly watchMax: number;
};

export type HotSetEvent =
  /** Changed directories, oldest first. */
  | { type: 'touched'; directories: readonly RelativePath[] }
  | { type: 'vanished'; directory: RelativePath }
  /** The kernel refused these watches: the number that holds is the new bound. */
  | { type: 'refused'; directories: readonly RelativePath[] }
  /** Try again with as many watches as configured. */
  | { type: 'restored'; watchMax: number };

/** What to do at the watcher; unwatch first, it makes room. */
export type HotSetActions = { unwatch: RelativePath[]; watch: RelativePath[] };

export function emptyHotSet(sizeMax: number, watchMax: number): HotSet {
  return { order: [], watched: new Set(), sizeMax, watchMax: Math.min(sizeMax, watchMax) };
}

/** The next state and what follows from it. Ancestors are never dropped, nor left unwatched, before what lies below them. */
export function advanceHotSet(state: HotSet, event: HotSetEvent): { state: HotSet; actions: HotSetActions } {
  switch (event.type) {
    case 'touched':
      return rewatch(state, touch(state.order, event.directories).slice(-state.sizeMax));
    case 'vanished': {
      const order = state.order.filter((path) => path !== event.directory && !isBelow(path, event.directory));
      return rewatch(state, order);
    }
    case 'refused': {
      const refused = new Set(event.directories.filter((path) => state.watched.has(path)));
      const watched = new Set([...state.watched].filter((path) => !refused.has(path)));
      return rewatch({ ...state, watched, watchMax: watched.size }, state.order);
    }
    case 'restored':
      return rewatch({ ...state, watchMax: Math.min(state.sizeMax, event.watchMax) }, state.order);
  }
}

function touch(order: readonly RelativePath[], directories: readonly RelativePath[]): RelativePath[] {
  const entries = new Set(order);
  for (const directory of directories) {
    for (let path: RelativePath | null = directory; path !== null; path = parentPath(path)) {
      entries.delete(path);
      entries.add(path);
    }
  }
  return [...entries];
}

function rewatch(state: HotSet, order: readonly RelativePath[]): { state: HotSet; actions: HotSetActions } {
  const watched = new Set(state.watchMax === 0 ? [] : order.slice(-state.watchMax));
  const actions = {
    unwatch: [...state.watched].filter((path) => !watched.has(path)),
    watch: [...watched].filter((path) => !state.watched.has(path)),
  };
  return { state: { ...state, order, watched }, actions };
}
