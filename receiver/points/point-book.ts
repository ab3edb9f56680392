import type { KeyObject } from 'node:crypto';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import { lockDirectory, type DirectoryLock } from '../../shared/io/directory-lock.ts';
import type { Disk } from '../../shared/io/disk.ts';
import type { Logger } from '../../shared/io/logger.ts';
import {
  parsePointRecord,
  encodePointRecord,
  pointId,
  verifyPointRecord,
  type PointRecord,
} from '../../shared/sealing/point-record.ts';
import { recordHash } from '../../shared/sealing/signed-record.ts';
import { expiringPoints, type PointRules } from '../retention/point-retention.ts';
import {
  factsOf,
  learnFact,
  noKnownPoints,
  pointJournalHeader,
  type PointFact,
  type PointPin,
} from './point-fact.ts';
import { PointFiles } from './point-files.ts';
import { countPoint, fullPointRate, resumedPointRate, type PointRate } from './point-rate.ts';

/** A restore point as it is held. `receivedAt`: ms by the retention clock; `wallAt`: ms by the wall clock. */
export type HeldPoint = {
  readonly id: string;
  readonly record: PointRecord;
  readonly receivedAt: number;
  readonly wallAt: number;
  readonly pin: PointPin | null;
};

/**
 * A point that the owner has forgotten, as long as what only it needed may still be there. `record`: null where its files
 * are damaged; `forgottenAt`: ms by the wall clock.
 */
export type ForgottenPoint = {
  readonly id: string;
  readonly record: PointRecord | null;
  readonly forgottenAt: number;
};

/** What the agent is told; see the message `pointTaken`. */
export type PointAnswer = { held: boolean; code: string | null };

/** Pins that an agent may set; the owner's are not counted. */
const agentPinsMax = 20;
/** Of refused points only so often a note is written. */
const refusedNoteMs = 3_600_000;

type Deps = {
  disk: Disk;
  /** The public key of the agent, which new points have to be signed with; null as long as it is not known. */
  agentKey: () => KeyObject | null;
  /** The same of another device whose points are held here as well; null where it is none. */
  keyOf?: (deviceId: string) => KeyObject | null;
  /** ms by the retention clock. */
  retentionNow: () => number;
  /** ms by the wall clock. */
  now: () => number;
  /** ms, never going back. */
  steadyNow: () => number;
  /** Whether something that the point may need was let go already. */
  isForgotten: (record: PointRecord) => boolean;
  logger: Logger;
};
type Options = { directory: string; agent: string };
/** `hash`: of the record's bytes. */
type HeldRecord = { record: PointRecord; hash: string; signature: Buffer };

/** What a scrub found of an agent's points. `mended`: files that were written again; `extras`: files that nobody stored. */
export type PointScrub = { mended: string[]; extras: string[] };

/**
 * The restore points that a receiver holds of one agent, in plain files alone: nothing of it is in a database.
 * Changes are carried out one after the other and are durable when they resolve. After a failed write the book takes
 * nothing until it is opened again.
 * @see docs/storage-format.md#restore-points
 */
export class PointBook {
  readonly #deps: Deps;
  readonly #options: Options;
  readonly #files: PointFiles;
  readonly #records = new Map<string, HeldRecord>();
  #known = noKnownPoints();
  /** The one that is being written. */
  #coming: PointRecord | null = null;
  #needed: readonly PointRecord[] | null = null;
  #factCount = 0;
  #lock: DirectoryLock | null = null;
  #rate: PointRate;
  #refusedNotedAt: number | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #failed = false;
  private constructor(deps: Deps, options: Options) {
    this.#deps = deps;
    this.#options = options;
    this.#files = new PointFiles(deps, options);
    this.#rate = fullPointRate(deps.steadyNow());
  }

  /**
   * `directory`: absolute, made at the first point. Points whose files are whole and of which no fact is known (a kill
   * came in between, or the journal is lost) count as received now.
   * @throws CodedError DISK_FAILED, STORE_FULL, JOURNAL_DAMAGED, ALREADY_RUNNING
   */
  static async open(deps: Deps, options: Options): Promise<PointBook> {
    const book = new PointBook(deps, options);
    try {
      if (book.#files.exists()) await book.#load();
    } catch (error) {
      book.#release();
      throw error;
    }
    return book;
  }

  get mustReopen(): boolean {
    return this.#failed;
  }

  /** Announcements that were refused, ever. */
  get refused(): number {
    return this.#known.refused;
  }

  /** Points that were taken and whose files are gone or damaged: nobody can say what they need. */
  get damaged(): string[] {
    return [...this.#known.points.keys()].filter((id) => !this.#records.has(id));
  }

  /** A file that is there as long as nobody has looked at what was lost of the journal, pins perhaps; null: nothing was. */
  get damagedJournal(): string | null {
    return this.#files.damagedJournal();
  }

  /** In the order of receipt. */
  list(): HeldPoint[] {
    const points: HeldPoint[] = [];
    for (const [id, facts] of this.#known.points) {
      const held = this.#records.get(id);
      if (held !== undefined) points.push({ id, record: held.record, ...facts });
    }
    return points.sort((a, b) => a.receivedAt - b.receivedAt);
  }

  /** What must be kept for points now: those held, and one that is about to be. The same array until that changes. */
  needed(): readonly PointRecord[] {
    this.#needed ??= [
      ...this.list().map(({ record }) => record),
      ...(this.#coming === null ? [] : [this.#coming]),
    ];
    return this.#needed;
  }

  /** What was received of a point; null where it is lost since. @throws a system error where it cannot be read */
  files(id: string): { record: Buffer; signature: Buffer } | null {
    return this.#records.has(id) ? this.#files.read(id) : null;
  }

  /**
   * Takes an announced point, or says why not; one that is held already is answered as the first time.
   * @throws CodedError DISK_FAILED, STORE_FULL, INTERNAL (the agent's key is not known)
   */
  take(record: Buffer, signature: Buffer): Promise<PointAnswer> {
    return this.#oneByOne(async () => {
      const hash = recordHash(record);
      const heldId = this.#records.entries().find(([, held]) => held.hash === hash)?.[0];
      if (heldId !== undefined && (this.#known.points.has(heldId) || this.#known.forgotten.has(heldId)))
        return { held: true, code: null };
      const { rate, allowed } = countPoint(this.#rate, this.#deps.steadyNow());
      this.#rate = rate;
      if (!allowed) return this.#refuse('POINTS_LIMITED');
      let point: PointRecord;
      try {
        point = verifyPointRecord(record, signature, this.#key());
        this.#assertFits(point, record);
      } catch (error) {
        if (!isCoded(error, 'RECORD_FORGED') && !isCoded(error, 'RECORD_INVALID')) throw error;
        this.#deps.logger.warn({ code: error.code, reason: error.message }, 'a restore point is refused');
        return this.#refuse(error.code);
      }
      if (this.#deps.isForgotten(point)) return this.#refuse('POINT_TOO_LATE');
      this.#announce(point);
      const id = pointId(point, record);
      const pin = this.#grantedPin(point);
      try {
        await this.#ready();
        await this.#files.write(id, record, signature);
        this.#records.set(id, { record: point, hash, signature });
        await this.#append([this.#taken(id, pin)]);
      } finally {
        this.#announce(null);
      }
      return { held: true, code: point.pin !== null && pin === null ? 'PINS_LIMITED' : null };
    });
  }

  /** The owner's pin, in place of any other. @throws CodedError DISK_FAILED, STORE_FULL */
  pin(id: string, label: string): Promise<void> {
    return this.#oneByOne(async () => {
      await this.#append([{ type: 'pinned', id, label, wallAt: this.#deps.now() }]);
    });
  }

  /** Whether there was a pin. @throws CodedError DISK_FAILED, STORE_FULL */
  unpin(id: string): Promise<boolean> {
    return this.#oneByOne(async () => {
      if (this.#known.points.get(id)?.pin == null) return false;
      await this.#append([{ type: 'unpinned', id, wallAt: this.#deps.now() }]);
      return true;
    });
  }

  /**
   * The owner takes these points away: they are held no longer when it resolves. Their files stay until `settle`, so
   * that what only they needed can be told. All of them or none.
   * @throws CodedError POINT_UNKNOWN, POINT_PINNED, DISK_FAILED, STORE_FULL
   */
  async forget(ids: readonly string[]): Promise<void> {
    const refusal = await this.#oneByOne(async () => {
      const found = this.#whyKept(ids);
      if (found !== null) return found;
      const wallAt = this.#deps.now();
      await this.#append([...new Set(ids)].map((id): PointFact => ({ type: 'forgotten', id, wallAt })));
      this.#needed = null;
      return null;
    });
    if (refusal !== null) throw refusal;
  }

  /** @throws CodedError POINT_UNKNOWN, POINT_PINNED */
  assertForgettable(ids: readonly string[]): void {
    const refusal = this.#whyKept(ids);
    if (refusal !== null) throw refusal;
  }

  /** Points that were forgotten and not settled yet. */
  forgotten(): ForgottenPoint[] {
    return [...this.#known.forgotten].map(([id, forgottenAt]) => {
      return { id, record: this.#records.get(id)?.record ?? null, forgottenAt };
    });
  }

  /** What only these forgotten points needed is gone: so are their files when it resolves. @throws CodedError DISK_FAILED, STORE_FULL */
  settle(ids: readonly string[]): Promise<void> {
    return this.#oneByOne(async () => {
      const wallAt = this.#deps.now();
      const settled = ids.filter((id) => this.#known.forgotten.has(id));
      if (settled.length === 0) return;
      await this.#append(settled.map((id): PointFact => ({ type: 'removed', id, wallAt })));
      for (const id of settled) this.#records.delete(id);
      await this.#removeFiles();
    });
  }

  /**
   * Removes the points that the rules let go, and gives them. `missingFiles`: 0 for a complete one, and of one that is
   * damaged (null) more than of any other.
   * @throws CodedError DISK_FAILED, STORE_FULL
   */
  expire(
    rules: PointRules,
    missingFiles: (record: PointRecord | null) => number,
  ): Promise<readonly { id: string }[]> {
    return this.#oneByOne(async () => {
      const points = [...this.#known.points].map(([id, { receivedAt, pin }]) => {
        const record = this.#records.get(id)?.record ?? null;
        return { id, receivedAt, missingFiles: missingFiles(record), pinned: pin !== null };
      });
      const expiring = expiringPoints(points, this.#deps.retentionNow(), rules);
      if (expiring.length === 0) return [];
      const wallAt = this.#deps.now();
      await this.#append(expiring.map(({ id }) => ({ type: 'removed', id, wallAt })));
      for (const { id } of expiring) this.#records.delete(id);
      this.#needed = null;
      await this.#removeFiles();
      return expiring;
    });
  }

  /**
   * Reads all files again, and writes those anew that are damaged or gone: what they said is in memory. Points whose files
   * were damaged when the book was opened stay damaged until somebody puts their files back.
   * @throws CodedError DISK_FAILED, STORE_FULL
   */
  scrub(): Promise<PointScrub> {
    return this.#oneByOne(async () => {
      const mended: string[] = [];
      for (const id of this.damaged) if (this.#readPoint(id) !== null) this.#needed = null;
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
    });
  }

  /** Files in the directory that are of no point which is or was held. */
  extras(): string[] {
    return this.#files.extras(
      new Set([...this.#records.keys(), ...this.damaged, ...this.#known.forgotten.keys()]),
    );
  }

  #isOnDisk(id: string, { hash, signature }: HeldRecord): boolean {
    const files = this.#files.readIfReadable(id);
    return files !== null && recordHash(files.record) === hash && files.signature.equals(signature);
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await this.#last;
    this.#failed = true;
    this.#release();
  }

  async #load(): Promise<void> {
    const { directory, agent } = this.#options;
    const { logger } = this.#deps;
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
    if (damaged > 0) {
      logger.error({ damaged }, 'the journal of restore points has damaged lines');
      this.#files.keepDamagedJournal();
    }
    await this.#removeFiles();
    const adopted: PointFact[] = [];
    for (const id of this.#files.list()) {
      const record = this.#readPoint(id);
      if (record === null || this.#known.points.has(id) || this.#known.forgotten.has(id)) continue;
      const fact = this.#taken(id, this.#grantedPin(record));
      learnFact(this.#known, fact);
      adopted.push(fact);
    }
    const receivedAt = [...this.#known.points.values()].map((facts) => facts.receivedAt);
    this.#rate = resumedPointRate(receivedAt, this.#deps.retentionNow(), this.#deps.steadyNow());
    const worthwhile = this.#factCount > 2 * this.#known.points.size + 1000;
    if (owner === undefined || damaged > 0 || worthwhile || adopted.length > 0) await this.#replaceFacts();
  }

  /** Null for files that are not a point of this agent; they stay where they are. */
  #readPoint(id: string): PointRecord | null {
    const files = this.#files.read(id);
    if (files === null) return null;
    try {
      const signer = parsePointRecord(files.record).agent;
      const key = this.#deps.keyOf?.(signer) ?? this.#key();
      const record = verifyPointRecord(files.record, files.signature, key);
      if (pointId(record, files.record) !== id) return null;
      this.#records.set(id, { record, hash: recordHash(files.record), signature: files.signature });
      return record;
    } catch (error) {
      if (!isCoded(error, 'RECORD_FORGED') && !isCoded(error, 'RECORD_INVALID')) throw error;
      this.#deps.logger.error({ point: id, code: error.code }, 'the files of a restore point are damaged');
      return null;
    }
  }

  #announce(coming: PointRecord | null): void {
    this.#coming = coming;
    this.#needed = null;
  }

  #key(): KeyObject {
    const key = this.#deps.agentKey();
    if (key === null) throw new CodedError('INTERNAL', 'the public key of the agent is not known');
    return key;
  }

  #assertFits(point: PointRecord, bytes: Buffer): void {
    const invalid = (why: string): CodedError =>
      new CodedError('RECORD_INVALID', `a restore point does not fit: ${why}`);
    const before = this.#records.values().find(({ hash }) => hash === point.previous)?.record;
    if (before !== undefined && before.number >= point.number)
      throw invalid(`number ${point.number} comes after ${before.number}`);
    const id = pointId(point, bytes);
    if (this.#records.has(id)) throw invalid(`another one is called ${id}`);
  }

  /** Why these points cannot be forgotten; null when they can. */
  #whyKept(ids: readonly string[]): CodedError | null {
    for (const id of ids) {
      const facts = this.#known.points.get(id);
      if (facts === undefined || !this.#records.has(id))
        return new CodedError('POINT_UNKNOWN', `restore point ${id} is not held any more`);
      if (facts.pin !== null)
        return new CodedError('POINT_PINNED', `restore point ${id} is pinned: ${facts.pin.label}`, {
          hint: `nothing was forgotten; if it shall go, say first: mastokeep-receiver unpin ${id}`,
        });
    }
    return null;
  }

  #grantedPin({ pin }: PointRecord): string | null {
    if (pin === null) return null;
    const pins = this.#known.points.values().filter((facts) => facts.pin?.by === 'agent');
    return [...pins].length < agentPinsMax ? pin : null;
  }

  #taken(id: string, pin: string | null): PointFact {
    const { retentionNow, now } = this.#deps;
    return { type: 'taken', id, receivedAt: retentionNow(), wallAt: now(), pin };
  }

  async #refuse(code: string): Promise<PointAnswer> {
    this.#known.refused += 1;
    const steadyNow = this.#deps.steadyNow();
    const isDue = this.#refusedNotedAt === null || steadyNow - this.#refusedNotedAt >= refusedNoteMs;
    if (isDue) {
      this.#refusedNotedAt = steadyNow;
      await this.#ready();
      await this.#append([{ type: 'refused', count: this.#known.refused, wallAt: this.#deps.now() }]);
    }
    return { held: false, code };
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

  #release(): void {
    this.#files.close();
    this.#lock?.release();
    this.#lock = null;
  }

  #oneByOne<Result>(action: () => Promise<Result>): Promise<Result> {
    const run = this.#last.then(async () => {
      if (this.#failed) throw new CodedError('DISK_FAILED', 'the restore points must be opened again first');
      try {
        return await action();
      } catch (error) {
        this.#failed = true;
        throw error;
      }
    });
    this.#last = run.catch(() => null);
    return run;
  }
}
