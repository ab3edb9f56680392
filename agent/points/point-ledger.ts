import fs from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import { CodedError, isCoded, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { syncDirectory, writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { parsePointRecord, pointId, type PointRecord } from '../../shared/sealing/point-record.ts';
import { recordHash } from '../../shared/sealing/signed-record.ts';
import type { AnnouncedPoint, AnnouncedPoints } from '../serve/announced-points.ts';
import { PinAnswers } from './pin-answers.ts';

type Deps = {
  /** ms, never going back. */
  steadyNow: () => number;
  /** Calls once, so many ms later. */
  after: (ms: number, callback: () => void) => void;
};
type Options = { directory: string; pointsMax: number };

/** So many a receiver takes at once; what it missed beyond them it would count as received in one hour, and keep one of. */
const backlogMax = 24;
/** A receiver that takes no more at present takes one more in so long. */
const retryMs = 600_000;
/** Answers after which a point is announced again. */
const retriedCodes: ReadonlySet<string | null> = new Set(['POINTS_LIMITED', 'STORE_FULL']);

const answeredName = 'answered.json';
const answeredSchema = z.record(z.string(), z.int().min(0));

/**
 * The restore points that an agent made, the last `pointsMax` of them, as files `NUMBER.json` and `NUMBER.json.sig`, and
 * how far each receiver has answered them. A receiver that never answered is told of the newest one only.
 */
export class PointLedger implements AnnouncedPoints {
  readonly #deps: Deps;
  readonly #options: Options;
  readonly #listeners = new Set<() => void>();
  readonly #restingUntil = new Map<string, number>();
  readonly #pins = new PinAnswers();
  #numbers: number[];
  #answered: Record<string, number>;

  /** Makes the directory. @throws CodedError DISK_FAILED */
  constructor(deps: Deps, options: Options) {
    this.#deps = deps;
    this.#options = options;
    [this.#numbers, this.#answered] = onDisk(options.directory, () => {
      fs.mkdirSync(options.directory, { recursive: true, mode: 0o700 });
      const numbers = fs
        .readdirSync(options.directory)
        .flatMap((name) => /^(\d{10})\.json$/.exec(name)?.[1] ?? [])
        .map(Number)
        .sort((a, b) => a - b);
      return [numbers, readAnswered(path.join(options.directory, answeredName))];
    });
  }

  /** The number of the next point and what it names as the one before. */
  next(): { number: number; previous: string | null } {
    const last = this.#numbers.at(-1);
    if (last === undefined) return { number: 1, previous: null };
    const record = this.#read(last)?.record;
    return { number: last + 1, previous: record === undefined ? null : recordHash(record) };
  }

  /** The newest point; null before the first, and where it cannot be read. */
  latest(): PointRecord | null {
    const last = this.#numbers.at(-1);
    const point = last === undefined ? null : this.#read(last);
    if (point === null) return null;
    try {
      return parsePointRecord(point.record);
    } catch (error) {
      if (isCoded(error, 'RECORD_INVALID')) return null;
      throw error;
    }
  }

  /** Keeps the point and has it announced; durable when it returns. @throws CodedError DISK_FAILED */
  add(number: number, record: Buffer, signature: Buffer): void {
    onDisk(this.#options.directory, () => {
      writeFileAtomic(`${this.#file(number)}.sig`, signature);
      writeFileAtomic(this.#file(number), record);
      this.#numbers.push(number);
      const old = this.#numbers.slice(0, -this.#options.pointsMax);
      this.#numbers = this.#numbers.slice(-this.#options.pointsMax);
      for (const gone of old) {
        fs.rmSync(this.#file(gone), { force: true });
        fs.rmSync(`${this.#file(gone)}.sig`, { force: true });
      }
      if (old.length > 0) syncDirectory(this.#options.directory);
    });
    this.#notify();
  }

  nextFor(receiverId: string): AnnouncedPoint | null {
    if ((this.#restingUntil.get(receiverId) ?? -Infinity) > this.#deps.steadyNow()) return null;
    for (const number of this.#unanswered(receiverId)) {
      const point = this.#read(number);
      if (point !== null) return { hash: Buffer.from(recordHash(point.record), 'hex'), ...point };
    }
    return null;
  }

  answered(receiverId: string, hash: Buffer, { held, code }: { held: boolean; code: string | null }): void {
    if (!held && retriedCodes.has(code)) {
      this.#restingUntil.set(receiverId, this.#deps.steadyNow() + retryMs);
      this.#deps.after(retryMs, () => this.#notify());
      return;
    }
    for (const number of this.#unanswered(receiverId)) {
      const record = this.#read(number)?.record;
      if (record === undefined || recordHash(record) !== hash.toString('hex')) continue;
      this.#notePin(receiverId, record, code);
      this.#answered[receiverId] = number;
      this.#writeAnswered();
      return;
    }
  }

  /** By receiver, what it said of the pin that the point (ID) asks for, as far as it answered since the start; null: granted. */
  pinAnswers(point: string): ReadonlyMap<string, string | null> {
    return this.#pins.of(point);
  }

  forgetReceiver(receiverId: string): void {
    if (this.#answered[receiverId] === undefined) return;
    delete this.#answered[receiverId];
    this.#writeAnswered();
  }

  onChange(listener: () => void): () => void {
    const entry = (): void => listener();
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  #notePin(receiverId: string, record: Buffer, code: string | null): void {
    const point = parsePointRecord(record);
    if (point.pin !== null) this.#pins.note(pointId(point, record), receiverId, code);
  }

  #unanswered(receiverId: string): number[] {
    const through = this.#answered[receiverId] ?? this.#numbers.at(-2) ?? 0;
    return this.#numbers.slice(-backlogMax).filter((number) => number > through);
  }

  #writeAnswered(): void {
    const { directory } = this.#options;
    onDisk(directory, () =>
      writeFileAtomic(path.join(directory, answeredName), `${JSON.stringify(this.#answered)}\n`),
    );
  }

  #read(number: number): { record: Buffer; signature: Buffer } | null {
    try {
      const file = this.#file(number);
      return { record: fs.readFileSync(file), signature: fs.readFileSync(`${file}.sig`) };
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return null;
      throw error;
    }
  }

  #file(number: number): string {
    return path.join(this.#options.directory, `${String(number).padStart(10, '0')}.json`);
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** What cannot be read counts as none: the receivers answer again. */
function readAnswered(file: string): Record<string, number> {
  if (!fs.existsSync(file)) return {};
  try {
    return answeredSchema.parse(JSON.parse(fs.readFileSync(file, 'utf8')));
  } catch {
    return {};
  }
}

function onDisk<Result>(directory: string, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === null) throw error;
    throw new CodedError('DISK_FAILED', `restore points cannot be kept in ${directory}: ${code}`, {
      cause: error,
    });
  }
}
