import type { AlarmBoard } from '../../shared/alarm-board.ts';
import { displayPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { ScrubSubject } from './scrubber.ts';

/** So many files that nobody knows are noted of each subject. */
export const extrasMax = 100;
const namesShownMax = 5;

/** Raises and ends the alarms of a subject by what is damaged in it now, and by what is there (byte strings) that nobody knows. */
export function tellOfSubject(
  alarms: AlarmBoard,
  subject: Pick<ScrubSubject, 'key' | 'name' | 'remedy' | 'damage'>,
  extras: readonly string[],
): void {
  const { count, names } = subject.damage();
  const [damageKey, extrasKey] = [`damaged ${subject.key}`, `extras ${subject.key}`];
  if (count === 0) alarms.clear(damageKey);
  else {
    const what = count === 1 ? '1 stored file is' : `${count} stored files are`;
    alarms.raise(
      damageKey,
      'COPY_DAMAGED',
      `${subject.name}: ${what} damaged: ${shown(names, count)}; ${subject.remedy}; see docs/scrub.md`,
    );
  }
  if (extras.length === 0) alarms.clear(extrasKey);
  else {
    const atLeast = extras.length < extrasMax ? '' : 'at least ';
    const what = extras.length === 1 ? 'a file is' : `${atLeast}${extras.length} files are`;
    const list = shown(extras.map(displayExtra), extras.length);
    alarms.raise(
      extrasKey,
      'FILE_UNKNOWN',
      `${subject.name}: ${what} there that nobody stored: ${list}; left alone`,
    );
  }
}

/** For people: a stranger's name may have anything in it. */
export function displayExtra(name: string): string {
  return displayPath(name as RelativePath);
}

function shown(names: readonly string[], count: number): string {
  const first = names.slice(0, namesShownMax).join(', ');
  return count > namesShownMax ? `${first}, …` : first;
}
