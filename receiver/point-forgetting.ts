import { isCoded } from '../shared/errors/coded-error.ts';
import type { DeviceId } from '../shared/identity/device-id.ts';
import type { AgentStore } from './agent-copies.ts';
import type { KeptHistory, PointPart } from './points/folder-evidence.ts';
import type { ForgottenPoint, HeldPoint } from './points/point-book.ts';
import type { PointRecord } from '../shared/sealing/point-record.ts';
import { longestKeptMs, type PointRules } from './retention/point-retention.ts';

/** The points of an agent as far as forgetting needs them. */
type Book = {
  list(): HeldPoint[];
  /** Also of a point that is about to be held. */
  needed(): readonly PointRecord[];
  forgotten(): ForgottenPoint[];
  /** Points that are held and of which nobody can say what they need. */
  readonly damaged: readonly string[];
  forget(ids: readonly string[]): Promise<void>;
  settle(ids: readonly string[]): Promise<void>;
};

type Deps = {
  bookOf: (agentId: DeviceId) => Promise<Book>;
  copies: {
    foldersOf(agentId: DeviceId): [string, AgentStore][];
    places: { isHeld(agentId: DeviceId, folder: string): boolean };
  };
  /** A restore reads of that agent: nothing of it may go now. */
  isRead: (agentId: DeviceId) => boolean;
  /** ms, by the clock that ages are counted by. */
  retentionNow: () => number;
};
type Options = { rulesOf: (agentId: DeviceId) => PointRules };

/**
 * What goes, or went. `waitsFor`: why what forgotten points needed is not gone yet, in words; null when it is. What waits
 * is tried again every ten minutes while the receiver runs.
 */
export type Forgetting = { versions: number; bytes: number; waitsFor: string | null };

/** Restore points that the owner takes away, and what only they needed: at once, whatever the floors by age say. */
export class PointForgetting {
  readonly #deps: Deps;
  readonly #options: Options;

  constructor(deps: Deps, options: Options) {
    this.#deps = deps;
    this.#options = options;
  }

  /** What would go with these points, and whether complete points would be left. Changes nothing. */
  async plan(
    agentId: DeviceId,
    ids: readonly string[],
  ): Promise<{ versions: number; bytes: number; left: number }> {
    const book = await this.#deps.bookOf(agentId);
    const all = book.list();
    const kept = all.filter(({ id }) => !ids.includes(id));
    const going = [...all.filter(({ id }) => ids.includes(id)), ...book.forgotten()];
    const found = { versions: 0, bytes: 0, left: kept.length };
    for (const [folder, store] of this.#deps.copies.foldersOf(agentId)) {
      const { versions, bytes } = store.forgettable(...this.#asked(agentId, folder, going, kept));
      found.versions += versions;
      found.bytes += bytes;
    }
    return found;
  }

  /**
   * Takes the points away, durably, and then removes what only they needed.
   * @throws CodedError POINT_UNKNOWN, POINT_PINNED, DISK_FAILED, STORE_FULL (and then none of them was taken away)
   */
  async forget(agentId: DeviceId, ids: readonly string[]): Promise<Forgetting> {
    const book = await this.#deps.bookOf(agentId);
    await book.forget(ids);
    try {
      return await this.finish(agentId);
    } catch (error) {
      // the points are gone, and what they held waits: to say that nothing was done would be wrong
      const why = error instanceof Error ? error.message : String(error);
      return { versions: 0, bytes: 0, waitsFor: isCoded(error) ? `${error.code}: ${why}` : why };
    }
  }

  /** Removes what only forgotten points needed, if there are any, and is done with them then. Durable when it resolves. */
  async finish(agentId: DeviceId): Promise<Forgetting> {
    const { bookOf, copies, isRead } = this.#deps;
    const book = await bookOf(agentId);
    const removed: Forgetting = { versions: 0, bytes: 0, waitsFor: null };
    const forgotten = book.forgotten();
    if (forgotten.length === 0) return removed;
    const [damaged] = book.damaged;
    if (damaged !== undefined)
      return {
        ...removed,
        waitsFor: `restore point ${damaged}, whose files are damaged: put them back, or forget it too`,
      };
    for (const [folder, store] of copies.foldersOf(agentId)) {
      // asked again: a restore may have begun meanwhile
      if (isRead(agentId)) return { ...removed, waitsFor: 'the end of a restore that reads it' };
      const kept = book.needed().map((record) => ({ record }));
      const { versions, bytes } = await store.forget(...this.#asked(agentId, folder, forgotten, kept));
      removed.versions += versions;
      removed.bytes += bytes;
    }
    const open = new Set(copies.foldersOf(agentId).map(([folder]) => folder));
    const closed = forgotten
      .flatMap(({ record }) => record?.folders ?? [])
      .find(({ id }) => !open.has(id) && copies.places.isHeld(agentId, id));
    if (closed !== undefined) return { ...removed, waitsFor: `folder ${closed.id}, which cannot be opened` };
    await book.settle(forgotten.map(({ id }) => id));
    return removed;
  }

  #asked(
    agentId: DeviceId,
    folder: string,
    going: readonly Pick<ForgottenPoint, 'record'>[],
    kept: readonly Pick<ForgottenPoint, 'record'>[],
  ): [nowMs: number, forgotten: PointPart[], kept: KeptHistory] {
    const rules = this.#options.rulesOf(agentId);
    const { newestComplete, floorDays } = rules;
    const partsOf = (points: readonly Pick<ForgottenPoint, 'record'>[]): PointPart[] =>
      points.flatMap(({ record }) => (record?.folders ?? []).filter(({ id }) => id === folder));
    const history = { parts: partsOf(kept), longestMs: longestKeptMs(rules), newestComplete, floorDays };
    return [this.#deps.retentionNow(), partsOf(going), history];
  }
}
