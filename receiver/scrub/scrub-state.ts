import * as z from 'zod';
import { scrubPositionSchema } from './scrub-position.ts';

const dayMs = 86_400_000;
/** What is left of the period when a pass is through, so that a night without power does not make it late. */
const shareOfPeriod = 0.9;
/** A small store is read in one go and then left alone, so that its disk can sleep. */
const bytesPerSecondMin = 1024 * 1024;

export const scrubStateSchema = z.strictObject({
  /** When this pass began, ms. */
  startedAt: z.int().min(0),
  /** Whether the pass is through. */
  done: z.boolean(),
  /** When the last whole pass began: since then everything has been read. */
  coveredAt: z.int().min(0).nullable(),
  /** When the first pass ever began. */
  firstAt: z.int().min(0),
  /** Of this pass. */
  readBytes: z.int().min(0),
  found: z.int().min(0),
  repaired: z.int().min(0),
  /** What is being read, and where it stands; null at the beginning of a pass. */
  subject: z.string().nullable(),
  at: scrubPositionSchema.nullable(),
  /** Something could not be read in this pass. */
  skipped: z.boolean(),
  /** Of each subject, the first files that nobody knows. */
  extras: z.record(z.string(), z.array(z.string())),
});

/** How far the scrub is. A pass reads everything once; times in ms since 1970 by the wall clock. */
export type ScrubState = z.infer<typeof scrubStateSchema>;

export type ScrubOptions = {
  /** In which time everything is read. */
  periodMs: number;
  bytesPerSecondMax: number;
};

export const defaultScrubOptions: ScrubOptions = {
  periodMs: 30 * dayMs,
  bytesPerSecondMax: 10 * 1024 * 1024,
};

/** A pass that begins now; `before`: null at the first start ever. */
export function beginPass(before: ScrubState | null, nowMs: number): ScrubState {
  return {
    startedAt: nowMs,
    done: false,
    coveredAt: before?.coveredAt ?? null,
    firstAt: before?.firstAt ?? nowMs,
    readBytes: 0,
    found: 0,
    repaired: 0,
    subject: null,
    at: null,
    skipped: false,
    extras: before?.extras ?? {},
  };
}

/** Everything that was there when the pass began has been read, but for what was skipped. */
export function endPass(state: ScrubState): ScrubState {
  const coveredAt = state.skipped ? state.coveredAt : state.startedAt;
  return { ...state, done: true, coveredAt, subject: null, at: null };
}

/** The state after a start: a wall clock that went back counts as if no time had passed since. */
export function resumePass(state: ScrubState, nowMs: number): ScrubState {
  const past = (at: number): number => Math.min(at, nowMs);
  const { startedAt, firstAt, coveredAt } = state;
  return {
    ...state,
    startedAt: past(startedAt),
    firstAt: past(firstAt),
    coveredAt: coveredAt === null ? null : past(coveredAt),
  };
}

/** How long until there is something to do, ms. */
export function dueInMs({ done, startedAt }: ScrubState, nowMs: number, { periodMs }: ScrubOptions): number {
  return done ? Math.max(0, startedAt + periodMs * shareOfPeriod - nowMs) : 0;
}

/**
 * So fast is read now: what is left, in what is left of the time; not slower than what lets a small store finish soon, and
 * never faster than allowed. `wholeBytes`: what a whole pass reads.
 */
export function bytesPerSecond(
  { startedAt, readBytes }: ScrubState,
  wholeBytes: number,
  nowMs: number,
  { periodMs, bytesPerSecondMax }: ScrubOptions,
): number {
  const leftMs = Math.max(1000, startedAt + periodMs * shareOfPeriod - nowMs);
  const needed = (Math.max(0, wholeBytes - readBytes) * 1000) / leftMs;
  return Math.min(bytesPerSecondMax, Math.max(bytesPerSecondMin, needed));
}

/** Whether something was not read for so long that a person must know. */
export function isLate(
  { coveredAt, firstAt }: ScrubState,
  nowMs: number,
  { periodMs }: ScrubOptions,
): boolean {
  return nowMs - (coveredAt ?? firstAt) > 2 * periodMs;
}
