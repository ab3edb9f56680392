import type { DeviceIdentity } from '../../shared/identity/device-identity.ts';
import type { Logger } from '../../shared/io/logger.ts';
import { encodePointRecord, pointId, type PointRecord } from '../../shared/sealing/point-record.ts';
import { signRecord } from '../../shared/sealing/signed-record.ts';
import type { PointLedger } from './point-ledger.ts';
import {
  advancePoint,
  isHourlyDue,
  noPointYet,
  type PointAction,
  type PointEvent,
  type PointState,
  type Positions,
} from './point-round.ts';

export type SealedPart = Extract<PointRecord['folders'][number], { kind: 'sealed' }>;

export type PointMakerDeps = {
  ledger: PointLedger;
  identity: DeviceIdentity;
  /** Of every mirror folder, what is committed. */
  positions: () => Positions;
  /** A full scan of every mirror folder that can be scanned; resolves when it is through and never rejects. */
  scan: () => Promise<void>;
  /** The newest version of every sealed folder that has one. */
  newestVersions: () => SealedPart[];
  /** ms since 1970. */
  now: () => number;
  logger: Logger;
};

/** What is said of a round's dumps as they go on. */
type DumpRound = { onFirstOutput: () => void };
type Made = { id: string; record: PointRecord };

/** Makes restore points, one at a time: around dumps, and hourly without one. */
export class PointMaker {
  readonly #deps: PointMakerDeps;
  #state: PointState;
  #last: Promise<unknown> = Promise.resolve();
  #rounds = 0;
  #ended: ((made: Made | null) => void) | null = null;

  constructor(deps: PointMakerDeps) {
    this.#deps = deps;
    const latest = deps.ledger.latest();
    this.#state = { ...noPointYet, madeAt: latest === null ? null : Date.parse(latest.createdAt) };
  }

  /**
   * Does the work of a round of dumps and resolves when it is done; its point follows when the full scan is through, before
   * any other round begins. `point` is durable when it resolves and never rejects; null when the work says that no dump
   * was needed, when the agent is paused or stops, or when there is nothing that a point could name. When the work
   * rejects, so does this, and the point is made of the newest versions all the same.
   */
  around<Result>(
    asked: { cause: 'dump' | 'asked'; pin: string | null },
    work: (round: DumpRound) => Promise<{ result: Result; dumped: boolean }>,
  ): Promise<{ result: Result; point: Promise<Made | null> }> {
    const worked = Promise.withResolvers<{ result: Result; point: Promise<Made | null> }>();
    this.#oneByOne(async () => {
      const { now, positions } = this.#deps;
      const made = this.#awaitEnd();
      this.#take({ type: 'began', ...asked, at: now(), positions: positions() });
      let outcome: 'dumped' | 'skipped' = 'dumped';
      try {
        const { result, dumped } = await work({ onFirstOutput: () => this.#take({ type: 'firstOutput' }) });
        outcome = dumped ? 'dumped' : 'skipped';
        worked.resolve({ result, point: made });
      } catch (error) {
        worked.reject(error);
      }
      this.#take({ type: 'worked', outcome, at: now() });
      await made;
    }).catch(worked.reject);
    return worked.promise;
  }

  /** Makes the hourly point when it is due. Never rejects. */
  tick(): void {
    if (!isHourlyDue(this.#state, this.#deps.now())) return;
    void this.#oneByOne(async () => {
      const { now, positions } = this.#deps;
      // what waited before it may have made one
      if (!isHourlyDue(this.#state, now())) return;
      const made = this.#awaitEnd();
      this.#take({ type: 'began', cause: 'hourly', pin: null, at: now(), positions: positions() });
      await made;
    });
  }

  /** While paused, no point is made; one that is in the making is given up. */
  pause(paused: boolean): void {
    this.#take({ type: paused ? 'paused' : 'resumed' });
  }

  /** Gives up what is in the making. */
  async stop(): Promise<void> {
    this.pause(true);
    await this.#last;
  }

  #take(event: PointEvent): void {
    const { state, actions } = advancePoint(this.#state, event);
    this.#state = state;
    for (const action of actions) this.#do(action);
  }

  #do(action: PointAction): void {
    if (action.type === 'scan') {
      const { scan, now, positions } = this.#deps;
      const rounds = this.#rounds;
      void scan().finally(() => {
        // one that was given up is scanned for nobody
        if (this.#rounds === rounds) this.#take({ type: 'scanned', at: now(), positions: positions() });
      });
      return;
    }
    const ended = this.#ended;
    this.#ended = null;
    ended?.(action.type === 'make' ? this.#make(action) : null);
  }

  #make({ cause, pin, begunAt, from, to }: Extract<PointAction, { type: 'make' }>): Made | null {
    const { ledger, identity, newestVersions, logger } = this.#deps;
    const folders: PointRecord['folders'] = [...mirrorParts(from, to), ...newestVersions()];
    if (folders.length === 0) return null;
    try {
      const { number, previous } = ledger.next();
      const createdAt = new Date(begunAt).toISOString();
      const record: PointRecord = {
        agent: identity.deviceId,
        number,
        createdAt,
        previous,
        cause,
        pin,
        folders,
      };
      const bytes = encodePointRecord(record);
      ledger.add(number, bytes, signRecord(bytes, identity.keyPem));
      const id = pointId(record, bytes);
      logger.info({ point: id, cause, folders: folders.length }, 'made a restore point');
      return { id, record };
    } catch (error) {
      logger.error({ reason: String(error) }, 'a restore point cannot be made');
      return null;
    }
  }

  #awaitEnd(): Promise<Made | null> {
    this.#rounds += 1;
    const { promise, resolve } = Promise.withResolvers<Made | null>();
    this.#ended = resolve;
    return promise;
  }

  #oneByOne<Result>(action: () => Promise<Result>): Promise<Result> {
    const run = this.#last.then(action);
    this.#last = run.catch(() => null);
    return run;
  }
}

/** An index that was renewed meanwhile names everything that is alive by the end of the scan. */
function mirrorParts(from: Positions, to: Positions): PointRecord['folders'] {
  return [...to].map(([id, { index, sequence }]) => {
    const before = from.get(id);
    return { id, kind: 'mirror', index, from: before?.index === index ? before.sequence : 0, to: sequence };
  });
}
