import type { KeyObject } from 'node:crypto';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { Disk } from '../../shared/io/disk.ts';
import type { Logger } from '../../shared/io/logger.ts';
import {
  parsePointRecord,
  pointId,
  verifyPointRecord,
  type PointRecord,
} from '../../shared/sealing/point-record.ts';
import { recordHash } from '../../shared/sealing/signed-record.ts';
import { unknownAgentKey } from '../store/agent-key.ts';
import { expiringPoints, type PointRules } from '../retention/point-retention.ts';
import type { PointFact, PointPin } from './point-fact.ts';
import { countPoint, fullPointRate, resumedPointRate, type PointRate } from './point-rate.ts';
import { PointStore, type PointScrub } from './point-store.ts';

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

/**
 * The restore points that a receiver holds of one agent, in plain files alone: nothing of it is in a database. Decides
 * what is taken, refused, pinned, and let go; a `PointStore` keeps it. Changes are carried out one after the other and are
 * durable when they resolve. After a failed write the book takes nothing until it is opened again.
 * @see docs/storage-format.md#restore-points
 */
export class PointBook {
  readonly #deps: Deps;
  readonly #store: PointStore;
  /** The one that is being written. */
  #coming: PointRecord | null = null;
  #needed: readonly PointRecord[] | null = null;
  #rate: PointRate;
  #refusedNotedAt: number | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #failed = false;

  private constructor(deps: Deps, options: Options) {
    this.#deps = deps;
    this.#store = new PointStore(
      {
        ...deps,
        verify: (files) => this.#verify(files),
        adopt: (id, record) => this.#taken(id, this.#grantedPin(record)),
      },
      options,
    );
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
      await book.#store.load();
    } catch (error) {
      book.#store.release();
      throw error;
    }
    const receivedAt = [...book.#store.known.points.values()].map((facts) => facts.receivedAt);
    book.#rate = resumedPointRate(receivedAt, deps.retentionNow(), deps.steadyNow());
    return book;
  }

  get mustReopen(): boolean {
    return this.#failed;
  }

  /** Announcements that were refused, ever. */
  get refused(): number {
    return this.#store.known.refused;
  }

  /** Points that were taken and whose files are gone or damaged: nothing can be restored from them, and nobody can say what they need. */
  get damaged(): readonly string[] {
    return this.#store.damaged;
  }

  /** A file that is there as long as nobody has looked at what was lost of the journal, pins perhaps; null: nothing was. */
  get damagedJournal(): string | null {
    return this.#store.damagedJournal;
  }

  /** In the order of receipt. */
  list(): HeldPoint[] {
    const points: HeldPoint[] = [];
    for (const [id, facts] of this.#store.known.points) {
      const held = this.#store.records.get(id);
      if (held !== undefined) points.push({ id, record: held.record, ...facts });
    }
    return points.sort((a, b) => a.receivedAt - b.receivedAt);
  }

  /** Null of one that is not held. */
  get(id: string): HeldPoint | null {
    const [facts, held] = [this.#store.known.points.get(id), this.#store.records.get(id)];
    return facts === undefined || held === undefined ? null : { id, record: held.record, ...facts };
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
    return this.#store.read(id);
  }

  /**
   * Takes an announced point, or says why not; one that is held already is answered as the first time.
   * @throws CodedError DISK_FAILED, STORE_FULL, COPY_DAMAGED (the agent's key is not known)
   */
  take(record: Buffer, signature: Buffer): Promise<PointAnswer> {
    return this.#oneByOne(async () => {
      const hash = recordHash(record);
      const { known, records } = this.#store;
      const heldId = records.entries().find(([, held]) => held.hash === hash)?.[0];
      if (heldId !== undefined && (known.points.has(heldId) || known.forgotten.has(heldId)))
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
      const id = pointId(point, record);
      // its files are damaged here: what is known of it, the owner's pin perhaps, does not change
      if (known.forgotten.has(id)) return { held: true, code: null };
      if (known.points.has(id)) {
        await this.#store.restore(id, point, { record, signature });
        this.#needed = null;
        return { held: true, code: null };
      }
      if (this.#deps.isForgotten(point)) return this.#refuse('POINT_TOO_LATE');
      this.#announce(point);
      const pin = this.#grantedPin(point);
      try {
        await this.#store.add(id, point, { record, signature }, this.#taken(id, pin));
      } finally {
        this.#announce(null);
      }
      return { held: true, code: point.pin !== null && pin === null ? 'PINS_LIMITED' : null };
    });
  }

  /** The owner's pin, in place of any other. @throws CodedError POINT_UNKNOWN (it went meanwhile), DISK_FAILED, STORE_FULL */
  async pin(id: string, label: string): Promise<void> {
    const isHeld = await this.#oneByOne(async () => {
      if (!this.#store.known.points.has(id)) return false;
      await this.#store.note([{ type: 'pinned', id, label, wallAt: this.#deps.now() }]);
      return true;
    });
    if (!isHeld) throw unknownPoint(id);
  }

  /** Whether there was a pin. @throws CodedError DISK_FAILED, STORE_FULL */
  unpin(id: string): Promise<boolean> {
    return this.#oneByOne(async () => {
      if (this.#store.known.points.get(id)?.pin == null) return false;
      await this.#store.note([{ type: 'unpinned', id, wallAt: this.#deps.now() }]);
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
      await this.#store.note([...new Set(ids)].map((id): PointFact => ({ type: 'forgotten', id, wallAt })));
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
    const { known, records } = this.#store;
    return [...known.forgotten].map(([id, forgottenAt]) => {
      return { id, record: records.get(id)?.record ?? null, forgottenAt };
    });
  }

  /** What only these forgotten points needed is gone: so are their files when it resolves. @throws CodedError DISK_FAILED, STORE_FULL */
  settle(ids: readonly string[]): Promise<void> {
    return this.#oneByOne(async () => {
      const settled = ids.filter((id) => this.#store.known.forgotten.has(id));
      if (settled.length > 0) await this.#store.remove(settled, this.#deps.now());
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
      const { known, records } = this.#store;
      const points = [...known.points].map(([id, { receivedAt, pin }]) => {
        const record = records.get(id)?.record ?? null;
        return { id, receivedAt, missingFiles: missingFiles(record), pinned: pin !== null };
      });
      const expiring = expiringPoints(points, this.#deps.retentionNow(), rules);
      if (expiring.length === 0) return [];
      await this.#store.remove(
        expiring.map(({ id }) => id),
        this.#deps.now(),
      );
      this.#needed = null;
      return expiring;
    });
  }

  /** @see PointStore.scrub @throws CodedError DISK_FAILED, STORE_FULL */
  scrub(): Promise<PointScrub> {
    return this.#oneByOne(async () => {
      const found = await this.#store.scrub();
      // what was damaged may be back
      this.#needed = null;
      return found;
    });
  }

  /** Files in the directory that are of no point which is or was held. */
  extras(): string[] {
    return this.#store.extras();
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await this.#last;
    this.#failed = true;
    this.#store.release();
  }

  /** By the key of the device that signed it, where more than one may. */
  #verify({ record, signature }: { record: Buffer; signature: Buffer }): PointRecord {
    const signer = parsePointRecord(record).agent;
    return verifyPointRecord(record, signature, this.#deps.keyOf?.(signer) ?? this.#key());
  }

  #announce(coming: PointRecord | null): void {
    this.#coming = coming;
    this.#needed = null;
  }

  #key(): KeyObject {
    const key = this.#deps.agentKey();
    if (key === null) throw unknownAgentKey();
    return key;
  }

  #assertFits(point: PointRecord, bytes: Buffer): void {
    const invalid = (why: string): CodedError =>
      new CodedError('RECORD_INVALID', `a restore point does not fit: ${why}`);
    const { records } = this.#store;
    const before = records.values().find(({ hash }) => hash === point.previous)?.record;
    if (before !== undefined && before.number >= point.number)
      throw invalid(`number ${point.number} comes after ${before.number}`);
    const id = pointId(point, bytes);
    if (records.has(id)) throw invalid(`another one is called ${id}`);
  }

  /** Why these points cannot be forgotten; null when they can. */
  #whyKept(ids: readonly string[]): CodedError | null {
    for (const id of ids) {
      const facts = this.#store.known.points.get(id);
      if (facts === undefined) return unknownPoint(id);
      if (facts.pin !== null)
        return new CodedError('POINT_PINNED', `restore point ${id} is pinned: ${facts.pin.label}`, {
          hint: `nothing was forgotten; if it shall go, say first: mastokeep-receiver unpin ${id}`,
        });
    }
    return null;
  }

  #grantedPin({ pin }: PointRecord): string | null {
    if (pin === null) return null;
    const pins = this.#store.known.points.values().filter((facts) => facts.pin?.by === 'agent');
    return [...pins].length < agentPinsMax ? pin : null;
  }

  #taken(id: string, pin: string | null): PointFact {
    const { retentionNow, now } = this.#deps;
    return { type: 'taken', id, receivedAt: retentionNow(), wallAt: now(), pin };
  }

  async #refuse(code: string): Promise<PointAnswer> {
    const count = this.#store.countRefused();
    const steadyNow = this.#deps.steadyNow();
    const isDue = this.#refusedNotedAt === null || steadyNow - this.#refusedNotedAt >= refusedNoteMs;
    if (isDue) {
      this.#refusedNotedAt = steadyNow;
      await this.#store.note([{ type: 'refused', count, wallAt: this.#deps.now() }]);
    }
    return { held: false, code };
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

function unknownPoint(id: string): CodedError {
  return new CodedError('POINT_UNKNOWN', `restore point ${id} is not held any more`);
}
