import { setTimeout as delay } from 'node:timers/promises';
import { CodedError } from '../shared/errors/coded-error.ts';
import type { DumpResult } from './seal/dumper.ts';

const obstaclesMax = 5;

/** What a receiver said of a pin. `granted`: null where it has not answered; `code`: why it is not granted. */
export type PinAnswer = { receiver: string; granted: boolean | null; code: string | null };

/** `point`: ID of the restore point that was made of it, where it was asked to be pinned; null when none was made. */
type Dumped = { versions: DumpResult[]; point: string | null };

/** Of the pin that was asked for: what the receivers that were connected say. */
export type DumpedWithPins = Dumped & { pins: PinAnswer[] };

/** An answer comes with the next message, unless the receiver is taken up by something. */
const pinAnswerMsMax = 30_000;

type Deps = {
  dump(folder: string | null, pin: string | null): Promise<Dumped>;
  /** How many receivers hold the version, durably. */
  copies(result: DumpResult): number;
  /** What receivers said of the pin of a point so far: null where it is granted, otherwise a code. */
  pinAnswers: (point: string) => ReadonlyMap<string, string | null>;
  connected: () => readonly string[];
  /** For people: what keeps copies from being made now. */
  obstacles(): string[];
  pollIntervalMs: number;
};

/**
 * Resolves when the versions are made and durable on that many receivers, with `pin` when the restore point is made too. A version that was made stays when waiting
 * for copies ends early. Whether the pin is granted is waited for a moment, and is told in any case.
 * @throws CodedError TIMED_OUT, what the dump throws, the signal's reason
 */
export async function dumpAndWait(
  deps: Deps,
  options: {
    folder: string | null;
    pin: string | null;
    copies: number;
    timeoutMs: number;
    signal: AbortSignal;
  },
): Promise<DumpedWithPins> {
  const timeout = AbortSignal.timeout(Math.min(options.timeoutMs, 2 ** 31 - 1));
  const signal = AbortSignal.any([timeout, options.signal]);
  const timedOut = (what: string): CodedError =>
    new CodedError('TIMED_OUT', `${what} after ${Math.round(options.timeoutMs / 1000)} s`, {
      hint: [
        ...deps.obstacles().slice(0, obstaclesMax),
        '"mastokeep-agent status" shows what is missing where',
      ].join('\n'),
    });
  const dumping = deps.dump(options.folder, options.pin);
  // it goes on when nobody waits for it any more
  dumping.catch(() => {});
  const done = await Promise.race([dumping, aborted(signal)]);
  if (done === null) {
    if (options.signal.aborted) throw options.signal.reason;
    throw timedOut(`the dump${options.pin === null ? '' : ' or its restore point'} is still under way`);
  }
  const pins = await answersToPin(deps, done.point, signal);
  for (;;) {
    const copies = Math.min(...done.versions.map((result) => deps.copies(result)));
    if (copies >= options.copies) return { ...done, pins };
    if (options.signal.aborted) throw options.signal.reason;
    if (timeout.aborted)
      throw timedOut(`the version is made and durable on ${copies} of ${options.copies} receivers`);
    await delay(deps.pollIntervalMs, undefined, { signal }).catch(() => {});
  }
}

async function answersToPin(
  { pinAnswers, connected, pollIntervalMs }: Deps,
  point: string | null,
  signal: AbortSignal,
): Promise<PinAnswer[]> {
  if (point === null) return [];
  const enough = AbortSignal.any([signal, AbortSignal.timeout(pinAnswerMsMax)]);
  while (!enough.aborted && connected().some((receiver) => !pinAnswers(point).has(receiver)))
    await delay(pollIntervalMs, undefined, { signal: enough }).catch(() => {});
  const answers = pinAnswers(point);
  return [...new Set([...connected(), ...answers.keys()])].map((receiver) => {
    const code = answers.get(receiver);
    return { receiver, granted: code === undefined ? null : code === null, code: code ?? null };
  });
}

async function aborted(signal: AbortSignal): Promise<null> {
  if (signal.aborted) return null;
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(null), { once: true });
  });
}
