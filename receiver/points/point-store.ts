import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import { lockDirectory, type DirectoryLock } from '../../shared/io/directory-lock.ts';
import type { Disk } from '../../shared/io/disk.ts';
import type { Logger } from '../../shared/io/logger.ts';
import { encodePointRecord, pointId, type PointRecord } from '../../shared/sealing/point-record.ts';
import { recordHash } from '../../shared/sealing/signed-record.ts';
import {
  factsOf,
  learnFact,
  noKnownPoints,
  pointJournalHeader,
  type KnownPoints,
  type PointFact,
} from './point-fact.ts';
import { PointFiles } from './point-files.ts';

/** `hash`: of the record's bytes. */
type HeldRecord = { readonly record: PointRecord; readonly hash: string; readonly signature: Buffer };
type ReceivedPoint = { record: Buffer; signature: Buffer };

type Deps = {
  disk: Disk;
  logger: Logger;
  /** @throws CodedError RECORD_FORGED, RECORD_INVALID */
  verify: (files: ReceivedPoint) => PointRecord;
  /** What is to be known of a point whose files are whole and of which no fact is. */
  adopt: (id: string, record: PointRecord) => PointFact;
};
type Options = { directory: string; agent: string };

/** What a scrub found of an agent's points. `mended`: files that were written again; `extras`: files that nobody stored. */
export type PointScrub = { mended: string[]; extras: string[] };

/**
 * The records of an agent's restore points and the journal of what is known of them, on disk and in memory. What is
 * changed is durable when it resolves; the changes come one after the other from the `PointBook`, which decides them.
 * @see docs/storage-format.md#restore-points
 */
export class PointStore {
  readonly #deps: Deps;
  readonly #options: Options;
  readonly #files: PointFiles;
  readonly #records = new Map<string, HeldRecord>();
  readonly #known = noKnownPoints();
  #factCount = 0;
  #lock: DirectoryLock | null = null;

  constructor(deps: Deps, options: Options) {
    this.#deps = deps;
    this.#options = options;
    this.#files = new PointFiles(deps, options);
  }

  /** By the names of the points, forgotten ones included; none of those that are damaged. */
  get records(): ReadonlyMap<string, HeldRecord> {
    return this.#records;
  }

  get known(): Readonly<KnownPoints> {
    return this.#known;
  }

  /** Points that were taken and whose files were gone or damaged at the start, until they are back or the owner forgets the point. */
  get damaged(): readonly string[] {
    return [...this.#known.points.keys()].filter((id) => !this.#records.has(id));
  }

  /** The path of a file that is there as long as nobody has looked at what was lost of the journal; null: nothing was. */
  get damagedJournal(): string | null {
    return this.#files.damagedJournal();
  }

  /** Reads what is there, if anything is. @throws CodedError DISK_FAILED, STORE_FULL, JOURNAL_DAMAGED, ALREADY_RUNNING, HOME_INVALID */
  async load(): Promise<void> {
    if (!this.#files.exists()) return;
    const { adopt, logger } = this.#deps;
    const { directory, agent } = this.#options;
    this.#lock = lockDirectory(directory);
    const { facts, damaged } = this.#files.readFacts();
    const owner = facts.find((fact) => fact.type === 'header')?.agent;
    if (owner !== undefined && owner !== agent) {
      throw new CodedError('HOME_INVALID', `the restore points in ${directory} are of agent ${owner}`, {
        hint: 'was the data directory moved or renamed?',
      });
    }
    for (const fact of facts) learnFact(this.#known, fact);
    this.#factCount = facts.length;
    await this.#removeFiles();
    let adopted = 0;
    for (const id of this.#files.list()) {
      const record = this.#readPoint(id);
      if (record === null || this.#known.points.has(id) || this.#known.forgotten.has(id)) continue;
      learnFact(this.#known, adopt(id, record));
      adopted += 1;
    }
    // a kill leaves one point of which no fact is written, and that behind the header
    const isCut = adopted > (owner === undefined ? 0 : 1);
    if (damaged > 0 || isCut) {
      logger.error({ damaged, adopted }, 'lines of the journal of restore points are damaged or lost');
      await this.#files.keepDamagedJournal();
    }
    const worthwhile = this.#factCount > 2 * this.#known.points.size + 1000;
    if (owner === undefined || damaged > 0 || worthwhile || adopted > 0) await this.#replaceFacts();
  }

  /** What was received of a point; null where it is lost since. @throws a system error where it cannot be read */
  read(id: string): ReceivedPoint | null {
    return this.#records.has(id) ? this.#files.read(id) : null;
  }

  /** Its files first, then the fact: without them it would speak of a point that is lost. */
  async add(id: string, point: PointRecord, files: ReceivedPoint, fact: PointFact): Promise<void> {
    await this.restore(id, point, files);
    await this.#append([fact]);
  }

  /** The files of a point of which the facts are known already. */
  async restore(id: string, point: PointRecord, { record, signature }: ReceivedPoint): Promise<void> {
    await this.#ready();
    await this.#files.write(id, record, signature);
    this.#records.set(id, { record: point, hash: recordHash(record), signature });
  }

  /** Facts that concern no files. */
  async note(facts: readonly PointFact[]): Promise<void> {
    await this.#ready();
    await this.#append(facts);
  }

  /** How many announcements were refused, with one more; durable by the next `note` of it. */
  countRefused(): number {
    this.#known.refused += 1;
    return this.#known.refused;
  }

  /** The fact first, then the files. */
  async remove(ids: readonly string[], wallAt: number): Promise<void> {
    await this.#append(ids.map((id) => ({ type: 'removed', id, wallAt })));
    for (const id of ids) this.#records.delete(id);
    await this.#removeFiles();
  }

  /**
   * Reads all files again, and writes those anew that are damaged or gone: what they said is in memory. Points whose files
   * were damaged at the start stay damaged until somebody puts their files back.
   */
  async scrub(): Promise<PointScrub> {
    const mended: string[] = [];
    for (const id of this.damaged) this.#readPoint(id);
    for (const [id, held] of this.#records) {
      if (this.#isOnDisk(id, held)) continue;
      await this.#files.write(id, encodePointRecord(held.record), held.signature);
      mended.push(`${id}.json`);
    }
    if (this.#lock !== null && !this.#files.hasFacts(this.#factCount)) {
      await this.#replaceFacts();
      mended.push('facts.journal');
    }
    return { mended, extras: this.extras() };
  }

  /** Files in the directory that are of no point which is or was held. */
  extras(): string[] {
    return this.#files.extras(
      new Set([...this.#records.keys(), ...this.#known.points.keys(), ...this.#known.forgotten.keys()]),
    );
  }

  /** The directory is free for another opener then. */
  release(): void {
    this.#files.close();
    this.#lock?.release();
    this.#lock = null;
  }

  #isOnDisk(id: string, { hash, signature }: HeldRecord): boolean {
    const files = this.#files.readIfReadable(id);
    return files !== null && recordHash(files.record) === hash && files.signature.equals(signature);
  }

  /** Null for files that are not a point of this agent; they stay where they are. */
  #readPoint(id: string): PointRecord | null {
    const files = this.#files.read(id);
    if (files === null) return null;
    try {
      const record = this.#deps.verify(files);
      if (pointId(record, files.record) !== id) return null;
      this.#records.set(id, { record, hash: recordHash(files.record), signature: files.signature });
      return record;
    } catch (error) {
      if (!isCoded(error, 'RECORD_FORGED') && !isCoded(error, 'RECORD_INVALID')) throw error;
      this.#deps.logger.error({ point: id, code: error.code }, 'the files of a restore point are damaged');
      return null;
    }
  }

  /** Makes the directory where this is the first that is kept in it. */
  async #ready(): Promise<void> {
    if (this.#lock !== null) return;
    await this.#files.make();
    this.#lock = lockDirectory(this.#options.directory);
    await this.#files.replaceFacts([pointJournalHeader(this.#options.agent)]);
    this.#factCount = 1;
  }

  async #append(facts: readonly PointFact[]): Promise<void> {
    await this.#files.append(facts);
    for (const fact of facts) learnFact(this.#known, fact);
    this.#factCount += facts.length;
  }

  async #replaceFacts(): Promise<void> {
    const facts = factsOf(this.#known, this.#options.agent);
    await this.#files.replaceFacts(facts);
    this.#factCount = facts.length;
  }

  async #removeFiles(): Promise<void> {
    if (this.#known.removed.size === 0) return;
    await this.#files.remove(this.#known.removed);
    this.#known.removed.clear();
  }
}
