import { isCoded, type CodedError } from '../../shared/errors/coded-error.ts';
import type { Pace } from '../store/content-check.ts';

/** What was read in one go. `next`: where it stands, null when all of the subject is read. `extras`: files that nobody knows. */
export type ScrubStep = {
  next: string | null;
  found: number;
  repaired: number;
  /** Why there is no room to make whole what was found; null where there is, or nothing was found. */
  lacksRoom: string | null;
  extras: readonly string[];
};

/** Something that is read bit by bit: a folder, or the restore points of an agent. */
export type ScrubSubject = {
  /** The order in which subjects are read. */
  readonly key: string;
  /** For people. */
  readonly name: string;
  /** What a pass reads of it, about. */
  bytes(): number;
  /** Reads on from there; null: from the beginning. */
  read(at: string | null, pace: Pace): Promise<ScrubStep>;
  /** Tries once more to make damaged files whole; how many are. */
  repair(): Promise<number>;
  /** How many files are damaged, and the first of them for people. */
  damage(): { count: number; names: readonly string[] };
  isExtra(name: string): boolean;
};

/** Whether a repair failed for want of room: it is tried again later. */
export function lacksRoom(error: unknown): error is CodedError {
  return isCoded(error, 'QUOTA_REACHED') || isCoded(error, 'STORE_FULL');
}
