import type { AlarmBoard } from '../../shared/alarm-board.ts';

/** What is wrong with a part of what is stored. `names`, `extras`: for people. */
type SubjectState = {
  key: string;
  name: string;
  damaged: number;
  names: readonly string[];
  /** Why there is no room to make damaged files whole; null where that was not the reason. */
  lacksRoom: string | null;
  /** Files that nobody stored. */
  extras: readonly string[];
};

const namesShownMax = 5;

/** Raises the alarms about it, or ends them. */
export function tellSubject(
  alarms: AlarmBoard,
  { key, name, damaged, names, lacksRoom, extras }: SubjectState,
): void {
  const [damageKey, extrasKey] = [`damaged ${key}`, `extras ${key}`];
  if (damaged === 0) alarms.clear(damageKey);
  else {
    const what = damaged === 1 ? '1 stored file is' : `${damaged} stored files are`;
    const next =
      lacksRoom === null
        ? 'asked for again where that helps'
        : `there is no room to make them whole, which is tried again: ${lacksRoom}`;
    alarms.raise(
      damageKey,
      'COPY_DAMAGED',
      `${name}: ${what} damaged: ${shown(names, damaged)}; ${next}; see docs/scrub.md`,
    );
  }
  if (extras.length === 0) alarms.clear(extrasKey);
  else {
    const what = extras.length === 1 ? 'a file is' : `${extras.length} files are`;
    const list = shown(extras, extras.length);
    alarms.raise(extrasKey, 'FILE_UNKNOWN', `${name}: ${what} there that nobody stored: ${list}; left alone`);
  }
}

function shown(names: readonly string[], count: number): string {
  const first = names.slice(0, namesShownMax).join(', ');
  return count > namesShownMax ? `${first}, …` : first;
}
