import type { AlarmBoard } from '../../shared/alarm-board.ts';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { Logger } from '../../shared/io/logger.ts';
import { yieldToOthers } from '../store/journal.ts';
import { ScrubFindings, wholeBytes } from './scrub-findings.ts';
import type { ScrubReport, ScrubStatus } from './scrub-report.ts';
import {
  beginPass,
  bytesPerSecond,
  dueInMs,
  endPass,
  isLate,
  resumePass,
  type ScrubOptions,
  type ScrubState,
} from './scrub-state.ts';
import { ScrubInterrupted, type ScrubStep, type ScrubSubject } from './scrub-subject.ts';
import { extrasMax } from './subject-alarms.ts';

type Deps = {
  /** Sorted by key. */
  subjects: () => readonly ScrubSubject[];
  memory: { read(): ScrubState | null; write(state: ScrubState): void };
  /** Whether the disk with the copies is there: nothing is read, kept or called read without it. */
  isHere: () => boolean;
  /** Whether something that is stored is in no subject, because it cannot be opened. */
  isPartHidden: () => boolean;
  alarms: AlarmBoard;
  logger: Logger;
  /** Ends what a step waits for. */
  onStop: () => void;
  /** ms since 1970. */
  now: () => number;
  /** ms, never going back. */
  steadyNow: () => number;
};

/** Between two attempts to make damaged files whole. */
const repairIntervalMs = 300_000;
const memoryIntervalMs = 30_000;
const wholeIntervalMs = 60_000;
const retryMs = 60_000;
const attemptsMax = 3;
const shortestRestMs = 5;

/**
 * Reads everything that is stored again and again, each time within the period, as slowly as that allows; a command may
 * have it done at once. Where it stands survives a restart.
 */
export class Scrubber {
  readonly #deps: Deps;
  readonly #options: ScrubOptions;
  #state: ScrubState;
  #running: Promise<void> | null = null;
  #stopped = false;
  #hurried = 0;
  /** Counts passes, those that were begun anew too. */
  #pass = 0;
  #wake: () => void = () => {};
  #owedMs = 0;
  #storedAt = Number.NEGATIVE_INFINITY;
  #repairedAt: number;
  #failures = 0;
  #whole = { bytes: 0, at: Number.NEGATIVE_INFINITY };
  /** Whether the state is what the memory had. */
  #recalled = false;
  readonly #findings: ScrubFindings;
  readonly #waiting = new Set<PromiseWithResolvers<void>>();

  constructor(deps: Deps, options: ScrubOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#findings = new ScrubFindings(deps);
    this.#state = beginPass(null, deps.now());
    this.#repairedAt = deps.steadyNow();
    this.#recall();
  }

  /** Begins to read after so long, unless a command cannot wait. */
  start(delayMs: number): void {
    for (const subject of this.#deps.subjects()) this.#findings.tell(subject, this.#state);
    this.#running ??= this.#loop(delayMs);
  }

  /** Where it stands is durable when it resolves. A `run` under way rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    this.#deps.onStop();
    await this.#running;
    this.#store(true);
    for (const { reject } of this.#waiting) reject(stopped());
  }

  status(): ScrubStatus {
    return this.#findings.status(this.#state);
  }

  /**
   * Reads on at full speed until the pass is through; `all`: a new one, from the beginning.
   * @throws CodedError DISK_FAILED (the disk is not there), NOT_RUNNING (it was stopped before that), the reason of the signal
   */
  async run({ all }: { all: boolean }, signal: AbortSignal): Promise<ScrubReport> {
    if (this.#stopped) throw stopped();
    if (!this.#recall()) throw new CodedError('DISK_FAILED', 'the disk with the copies is not there');
    if (all || this.#state.done) this.#beginAnew();
    this.#hurried += 1;
    this.#repairedAt = Number.NEGATIVE_INFINITY;
    this.#wake();
    try {
      await this.#passEnded(signal);
    } finally {
      this.#hurried -= 1;
    }
    return this.#findings.report(this.#state);
  }

  #beginAnew(): void {
    this.#state = beginPass(this.#state, this.#deps.now());
    this.#pass += 1;
    this.#findings.beginPass();
  }

  async #passEnded(signal: AbortSignal): Promise<void> {
    const ended = Promise.withResolvers<void>();
    const abort = (): void => ended.reject(signal.reason as Error);
    this.#waiting.add(ended);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      await ended.promise;
    } finally {
      this.#waiting.delete(ended);
      signal.removeEventListener('abort', abort);
    }
  }

  async #loop(delayMs: number): Promise<void> {
    if (this.#hurried === 0) await this.#sleep(delayMs);
    while (!this.#stopped) {
      const { now, steadyNow } = this.#deps;
      if (!this.#recall()) {
        await this.#sleep(repairIntervalMs);
        continue;
      }
      // the clock on the wall may have gone back
      this.#state = resumePass(this.#state, now());
      if (steadyNow() - this.#repairedAt >= repairIntervalMs) await this.#repair();
      const waitMs = dueInMs(this.#state, now(), this.#options);
      if (waitMs > 0) await this.#sleep(Math.min(waitMs, repairIntervalMs));
      else {
        await this.#advance();
        // a step over directories alone waits for nothing
        await yieldToOthers();
      }
    }
  }

  /** Goes on where it stood, once the disk is there. False: it is not. */
  #recall(): boolean {
    const { alarms, isHere, memory, now } = this.#deps;
    if (!isHere()) return false;
    if (this.#recalled) return true;
    this.#recalled = true;
    try {
      const before = memory.read();
      if (before !== null) this.#state = resumePass(before, now());
    } catch (error) {
      alarms.raise('scrub memory', 'DISK_FAILED', `how far the scrub is cannot be read: ${String(error)}`);
    }
    return true;
  }

  /** One step. Never rejects: what fails is tried again, and then skipped with an alarm. */
  async #advance(): Promise<void> {
    if (this.#state.done) this.#beginAnew();
    const pass = this.#pass;
    const { subject: wanted, at, readBytes } = this.#state;
    const subjects = this.#deps.subjects();
    const subject = subjects.find(({ key }) => wanted === null || key >= wanted);
    if (subject === undefined) return this.#end();
    const isSame = subject.key === wanted;
    try {
      const step = await subject.read(isSame ? at : null, (bytes) => this.#pace(bytes, pass));
      if (pass === this.#pass) this.#take(subject, step);
      this.#failures = 0;
      this.#deps.alarms.clear(`scrub ${subject.key}`);
    } catch (error) {
      // what the step has read will be read again
      if (pass === this.#pass) this.#state = { ...this.#state, readBytes };
      if (this.#stopped || error instanceof ScrubInterrupted) return;
      await this.#fail(subject, error);
    }
  }

  #take(subject: ScrubSubject, step: ScrubStep): void {
    const { next, found, repaired, extras, again, skipped } = step;
    this.#findings.note(subject, step);
    const known = this.#state.extras[subject.key] ?? [];
    const all = [...new Set([...known, ...extras])].slice(0, extrasMax);
    this.#state = {
      ...this.#state,
      readBytes: this.#state.readBytes - again,
      found: this.#state.found + found.length,
      repaired: this.#state.repaired + repaired,
      skipped: this.#state.skipped || skipped,
      subject: subject.key,
      at: next,
      extras: { ...this.#state.extras, [subject.key]: all },
    };
    this.#findings.tell(subject, this.#state);
    if (next === null) this.#goOn(subject);
    this.#store(false);
  }

  #goOn(subject: ScrubSubject): void {
    const next = this.#deps.subjects().find(({ key }) => key > subject.key);
    if (next === undefined) this.#end();
    else this.#state = { ...this.#state, subject: next.key, at: null };
  }

  async #fail(subject: ScrubSubject, error: unknown): Promise<void> {
    const { alarms, logger } = this.#deps;
    this.#failures += 1;
    const message = error instanceof Error ? error.message : String(error);
    logger.warn({ subject: subject.key, err: error }, 'a scrub failed');
    if (this.#failures < attemptsMax) return this.#sleep(this.#hurried > 0 ? 0 : retryMs);
    this.#failures = 0;
    const code = isCoded(error) ? error.code : 'INTERNAL';
    alarms.raise(`scrub ${subject.key}`, code, `${subject.name} cannot be read through: ${message}`);
    this.#state = { ...this.#state, skipped: true };
    this.#goOn(subject);
  }

  #end(): void {
    if (this.#deps.isPartHidden()) this.#state = { ...this.#state, skipped: true };
    this.#state = endPass(this.#state);
    this.#deps.logger.info(
      { readBytes: this.#state.readBytes, found: this.#state.found, repaired: this.#state.repaired },
      'everything that is stored has been read',
    );
    this.#store(true);
    for (const { resolve } of this.#waiting) resolve();
  }

  /** What damaged files there are is tried again, and alarms are told anew or end. */
  async #repair(): Promise<void> {
    this.#repairedAt = this.#deps.steadyNow();
    const between = async (): Promise<void> => {
      if (this.#stopped) throw new ScrubInterrupted();
      await yieldToOthers();
    };
    for (const subject of this.#deps.subjects()) {
      if (this.#stopped) return;
      await this.#findings.repair(subject, between);
      const extras = (this.#state.extras[subject.key] ?? []).filter((name) => subject.isExtra(name));
      this.#state = { ...this.#state, extras: { ...this.#state.extras, [subject.key]: extras } };
      this.#findings.tell(subject, this.#state);
    }
  }

  async #pace(bytes: number, pass: number): Promise<void> {
    if (this.#stopped || pass !== this.#pass) throw new ScrubInterrupted();
    this.#state = { ...this.#state, readBytes: this.#state.readBytes + bytes };
    if (this.#hurried > 0) return yieldToOthers();
    const rate = bytesPerSecond(this.#state, this.#wholeBytes(), this.#deps.now(), this.#options);
    this.#owedMs += (bytes * 1000) / rate;
    if (this.#owedMs < shortestRestMs) return;
    const restMs = this.#owedMs;
    this.#owedMs = 0;
    await this.#sleep(restMs);
    if (this.#stopped || pass !== this.#pass) throw new ScrubInterrupted();
  }

  /** Counted anew now and then: it changes slowly. */
  #wholeBytes(): number {
    const at = this.#deps.steadyNow();
    if (at - this.#whole.at > wholeIntervalMs) this.#whole = { bytes: wholeBytes(this.#deps.subjects()), at };
    return this.#whole.bytes;
  }

  /** Until then, or until something wakes it. */
  async #sleep(ms: number): Promise<void> {
    if (this.#stopped) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => {};
  }

  #store(now: boolean): void {
    const { alarms, memory, now: wallNow, steadyNow } = this.#deps;
    if (!this.#deps.isHere() || (!now && steadyNow() - this.#storedAt < memoryIntervalMs)) return;
    this.#storedAt = steadyNow();
    if (isLate(this.#state, wallNow(), this.#options))
      alarms.raise(
        'scrub late',
        'SCRUB_LATE',
        'not everything that is stored was read in time; see docs/scrub.md',
      );
    else alarms.clear('scrub late');
    try {
      memory.write(this.#state);
      alarms.clear('scrub memory');
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      alarms.raise('scrub memory', 'DISK_FAILED', `how far the scrub is cannot be kept: ${message}`);
    }
  }
}

function stopped(): CodedError {
  return new CodedError('NOT_RUNNING', 'the program was stopped before everything was read', {
    hint: 'say "mastokeep-receiver scrub" again: it goes on where this one stood',
  });
}
