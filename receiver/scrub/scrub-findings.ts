import type { AlarmBoard } from '../../shared/alarm-board.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { ScrubReport, ScrubStatus } from './scrub-report.ts';
import type { ScrubState } from './scrub-state.ts';
import { lacksRoom, ScrubInterrupted, type ScrubStep, type ScrubSubject } from './scrub-subject.ts';
import { displayExtra, tellSubject } from './subject-alarms.ts';

const foundShownMax = 20;

type Deps = {
  /** Sorted by key. */
  subjects: () => readonly ScrubSubject[];
  alarms: AlarmBoard;
  logger: Logger;
};

/**
 * What is wrong with the subjects, as alarms and reports tell it: what is damaged is asked of them each time, extras are
 * the state's, and what was found in this pass and what there is no room for is remembered here, until the program ends.
 */
export class ScrubFindings {
  readonly #deps: Deps;
  /** Why subjects cannot be made whole for want of room, by key. */
  readonly #lacksRoom = new Map<string, string>();
  /** The first of what was damaged in this pass, by subject. */
  readonly #found = new Map<string, readonly string[]>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  beginPass(): void {
    this.#found.clear();
  }

  /** What a step found, and whether there was room to make it whole. */
  note(
    subject: ScrubSubject,
    { found, lacksRoom, repairTried }: Pick<ScrubStep, 'found' | 'lacksRoom' | 'repairTried'>,
  ): void {
    if (repairTried || lacksRoom !== null) this.#noteRoom(subject, lacksRoom);
    if (found.length === 0) return;
    const names = [...(this.#found.get(subject.key) ?? []), ...found];
    this.#found.set(subject.key, names.slice(0, foundShownMax));
  }

  /** Damaged files of it are tried again. Never rejects: what fails is tried at the next call. */
  async repair(subject: ScrubSubject, between: () => Promise<void>): Promise<void> {
    try {
      await subject.repair(between);
      this.#noteRoom(subject, null);
    } catch (error) {
      if (error instanceof ScrubInterrupted) return;
      if (lacksRoom(error)) this.#noteRoom(subject, error.message);
      this.#deps.logger.warn({ subject: subject.key, err: error }, 'damaged files cannot be made whole now');
    }
  }

  /** Raises the alarms about the subject, or ends them. */
  tell(subject: ScrubSubject, { extras }: Pick<ScrubState, 'extras'>): void {
    const { key, name, remedy } = subject;
    const { count: damaged, names } = subject.damage();
    if (damaged === 0) this.#lacksRoom.delete(key);
    const lacksRoom = this.#lacksRoom.get(key) ?? null;
    tellSubject(this.#deps.alarms, {
      key,
      name,
      remedy,
      damaged,
      names,
      lacksRoom,
      extras: extras[key] ?? [],
    });
  }

  status({ startedAt, readBytes, found, repaired, done, coveredAt }: ScrubState): ScrubStatus {
    const subjects = this.#deps.subjects();
    return {
      startedAt: new Date(startedAt).toISOString(),
      readBytes,
      found,
      repaired,
      done,
      coveredAt: coveredAt === null ? null : new Date(coveredAt).toISOString(),
      damaged: subjects.reduce((sum, subject) => sum + subject.damage().count, 0),
      lacksRoom: [...this.#lacksRoom.values()][0] ?? null,
      wholeBytes: wholeBytes(subjects),
    };
  }

  report({ startedAt, readBytes, found, repaired, skipped, extras }: ScrubState): ScrubReport {
    const all = this.#deps.subjects().map((subject) => {
      const { count, names } = subject.damage();
      return {
        name: subject.name,
        damaged: count,
        lacksRoom: this.#lacksRoom.get(subject.key) ?? null,
        files: names,
        found: this.#found.get(subject.key) ?? [],
        extras: (extras[subject.key] ?? []).map(displayExtra),
      };
    });
    const damaged = all.reduce((sum, folder) => sum + folder.damaged, 0);
    const folders = all.filter((folder) => folder.damaged + folder.found.length + folder.extras.length > 0);
    return {
      startedAt: new Date(startedAt).toISOString(),
      readBytes,
      found,
      repaired,
      damaged,
      folders,
      skipped,
    };
  }

  #noteRoom({ key }: ScrubSubject, lacksRoom: string | null): void {
    if (lacksRoom === null) this.#lacksRoom.delete(key);
    else this.#lacksRoom.set(key, lacksRoom);
  }
}

/** What a whole pass reads, about. */
export function wholeBytes(subjects: readonly ScrubSubject[]): number {
  return subjects.reduce((sum, subject) => sum + subject.bytes(), 0);
}
