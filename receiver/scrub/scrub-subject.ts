import { isCoded, type CodedError } from '../../shared/errors/coded-error.ts';
import type { Pace } from '../store/content-check.ts';
import type { ScrubPosition } from './scrub-position.ts';

/**
 * What was read in one go. `next`: where it stands, null when all of the subject is read. `found`: what was damaged, for
 * people; `repaired`: how many are whole again. `extras`: names (byte strings) of files that nobody knows. `again`: so many
 * of the bytes that were read in this pass count for nothing, because they are read once more. `skipped`: something could
 * not be read through; the next pass tries again.
 */
export type ScrubStep = {
  next: ScrubPosition | null;
  found: readonly string[];
  repaired: number;
  /** Whether all that is damaged was tried to make whole. */
  repairTried: boolean;
  /** Why there is no room to make it whole; null where there is, or it was not tried to the end. */
  lacksRoom: string | null;
  extras: readonly string[];
  again: number;
  skipped: boolean;
};

/** Something that is read bit by bit: a folder, or the restore points of an agent. */
export type ScrubSubject = {
  /** The order in which subjects are read. */
  readonly key: string;
  /** For people. */
  readonly name: string;
  /** What becomes of what is damaged in it, or has to be done, for people. */
  readonly remedy: string;
  /** What a pass reads of it, about. */
  bytes(): number;
  /** Reads on from there; null: from the beginning. */
  read(at: ScrubPosition | null, pace: Pace): Promise<ScrubStep>;
  /** Tries once more to make damaged files whole; how many are. What `between` rejects with ends it between two pieces of a file. */
  repair(between: () => Promise<void>): Promise<number>;
  /** How many files are damaged, and the first of them for people. */
  damage(): { count: number; names: readonly string[] };
  isExtra(name: string): boolean;
};

/** Ends a step when the program stops, or a pass begins anew. */
export class ScrubInterrupted extends Error {}

/** Whether a repair failed for want of room: it is tried again later. */
export function lacksRoom(error: unknown): error is CodedError {
  return isCoded(error, 'QUOTA_REACHED') || isCoded(error, 'STORE_FULL');
}
