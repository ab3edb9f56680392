import path from 'node:path';
import { ScrubMemory } from '../../receiver/scrub/scrub-memory.ts';
import type { ScrubPosition } from '../../receiver/scrub/scrub-position.ts';
import { defaultScrubOptions, type ScrubOptions } from '../../receiver/scrub/scrub-state.ts';
import type { ScrubStep, ScrubSubject } from '../../receiver/scrub/scrub-subject.ts';
import { Scrubber } from '../../receiver/scrub/scrubber.ts';
import { AlarmBoard } from '../../shared/alarm-board.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { silentLogger, type Logger } from '../../shared/io/logger.ts';
import { temporaryDirectory } from './temporary-directory.ts';

export const mebibyte = 1024 * 1024;
const longMs = 3_600_000;

/** Something of so many pieces, which notes what is read of it. */
export class FakeSubject implements ScrubSubject {
  readonly key: string;
  readonly remedy = 'nothing helps';
  readonly pieces: number[] = [];
  damaged = 0;
  /** Whether its damaged files can be made whole now. */
  mendable = false;
  isFull = false;
  /** What a step says of the room for what it found. */
  /** What a step says of making whole what it found. */
  repairOfStep = { repairTried: false, lacksRoom: null as string | null };
  /** Whether it has something in it that cannot be read through. */
  isChanging = false;
  strangers: string[] = [];
  rotten: string[] = [];
  failures = 0;
  readonly #count: number;

  constructor(key: string, pieces: number) {
    this.key = key;
    this.#count = pieces;
  }

  get name(): string {
    return `folder ${this.key}`;
  }

  bytes(): number {
    return this.#count * mebibyte;
  }

  async read(at: ScrubPosition | null, pace: (bytes: number) => Promise<void>): Promise<ScrubStep> {
    if (this.failures > 0) {
      this.failures -= 1;
      throw new CodedError('DISK_FAILED', 'the disk is out of order');
    }
    const piece = Number(at ?? 0);
    await pace(mebibyte);
    this.pieces.push(piece);
    const next = piece + 1 < this.#count ? String(piece + 1) : null;
    return {
      next,
      found: this.rotten.splice(0),
      repaired: 0,
      ...this.repairOfStep,
      extras: this.strangers,
      again: 0,
      skipped: this.isChanging,
    };
  }

  async repair(_between: () => Promise<void>): Promise<number> {
    if (this.isFull) throw new CodedError('QUOTA_REACHED', 'the quota is used up');
    if (!this.mendable) return 0;
    const mended = this.damaged;
    this.damaged = 0;
    return mended;
  }

  damage() {
    return { count: this.damaged, names: this.damaged === 0 ? [] : ['a.jpg'] };
  }

  isExtra(name: string): boolean {
    return this.strangers.includes(name);
  }
}

/** Scrubbers over two subjects, one after another, each of which goes on with what the one before kept. */
export class ScrubberBench {
  readonly file = path.join(temporaryDirectory(), 'scrub.json');
  now = 1_800_000_000_000;
  isHere = true;
  isPartHidden = false;
  logger: Logger = silentLogger;
  alarms = this.newAlarms();
  readonly one = new FakeSubject('one', 3);
  readonly two = new FakeSubject('two', 2);
  subjects: FakeSubject[] = [this.one, this.two];
  readonly #scrubbers: Scrubber[] = [];

  newAlarms(): AlarmBoard {
    return new AlarmBoard({ logger: silentLogger, now: () => this.now });
  }

  /** Begins to read after so long. */
  start(delayMs = longMs, options: ScrubOptions = defaultScrubOptions): Scrubber {
    const { alarms, file, logger } = this;
    const scrubber = new Scrubber(
      {
        subjects: () => this.subjects,
        memory: new ScrubMemory({ file }),
        isHere: () => this.isHere,
        isPartHidden: () => this.isPartHidden,
        alarms,
        logger,
        onStop: () => {},
        now: () => this.now,
        steadyNow: () => performance.now(),
      },
      options,
    );
    this.#scrubbers.push(scrubber);
    scrubber.start(delayMs);
    return scrubber;
  }

  /** Ends all of them. */
  async stop(): Promise<void> {
    for (const scrubber of this.#scrubbers.splice(0)) await scrubber.stop();
  }

  /** Of the alarms that stand. */
  codes(): string[] {
    return this.alarms.list().map(({ code }) => code);
  }

  /** Which pieces were read of each subject. */
  readOf(): number[][] {
    return this.subjects.map((subject) => subject.pieces);
  }
}
