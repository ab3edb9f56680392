import type { ForgottenHistory, KeptHistory, PointPart } from '../points/folder-evidence.ts';
import type { VersionRetention } from '../retention/version-retention.ts';
import type { BatchWriter } from './batch-writer.ts';
import { countForgotten, forgottenVersions, removeForgotten } from './forgotten-versions.ts';
import type { VersionRow } from './index-rows.ts';
import { momentsOf } from './interval-evidence.ts';
import { sizeOf, type BeginEntry, type ChangeEntry } from './journal-entry.ts';
import { yieldToOthers } from './journal.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { laterMoment, type Moment } from './moment.ts';
import type { Staging } from './staging.ts';
import { expiringByRule, expiringVersionIds, keptIntervalsNow } from './version-sweep.ts';

type Deps = {
  index: MirrorIndex;
  writer: BatchWriter;
  staging: Staging;
  retention: VersionRetention;
  /** Content that arrived in part is kept so long. */
  partialDaysMax: number;
  /** A batch without a position. */
  begin: () => BeginEntry;
  /** @throws CodedError where the store takes nothing */
  assertUsable: () => void;
  oneByOne: <Result>(action: () => Promise<Result>) => Promise<Result>;
};

const expiriesAtOnce = 1000;

/**
 * How versions and gaps of a mirror folder go: by age and rule (`expire`), and with points that the owner has forgotten
 * (`forget`). In small batches, each durable before the next one; cut off between two of them, the next call finds what
 * is left.
 */
export class VersionExpiry {
  readonly #deps: Deps;
  #letGoUntil: Moment = 0n;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Removes these versions in batches; those that are gone already are left out. Durable when it resolves. */
  async expireVersions(ids: readonly number[]): Promise<{ versions: number; bytes: number }> {
    const removed = { versions: 0, bytes: 0 };
    this.#letGo(ids.flatMap((id) => this.#deps.index.intervals.version(id)?.replaced ?? []));
    for (let at = 0; at < ids.length; at += expiriesAtOnce) {
      await this.#deps.oneByOne(async () => {
        const wanted = new Set(ids.slice(at, at + expiriesAtOnce));
        const rows = [...wanted].flatMap((id) => this.#deps.index.intervals.version(id) ?? []);
        if (rows.length > 0) await this.#expire(rows);
        removed.versions += rows.length;
        removed.bytes += rows.reduce((sum, row) => sum + sizeOf(row.replaced.holding), 0);
      });
    }
    return removed;
  }

  /** Forgets gaps that were over by that moment: no interval from there on is touched by them. Durable when it resolves. */
  async expireGaps(until: Moment): Promise<number> {
    const ended = this.#deps.index.intervals.lastGapEnd(until);
    if (ended === null) return 0;
    this.#letGo([{ ended }]);
    for (let forgotten = 0; ;) {
      const gaps = await this.#deps.oneByOne(async () => {
        const over = this.#deps.index.intervals.gapsEndedUntil(until, expiriesAtOnce);
        const changes = over.map(({ path, begun }): ChangeEntry => ({
          type: 'gap',
          path,
          begun,
          ended: begun,
        }));
        if (changes.length === 0) return 0;
        await this.#deps.writer.write(this.#deps.begin(), [...changes, ...latestEnd(over)], []);
        return changes.length;
      });
      forgotten += gaps;
      if (gaps < expiriesAtOnce) return forgotten;
    }
  }

  /**
   * Removes the versions that the retention rule lets go and no kept point needs, gaps that touch no kept point, and partial
   * content grown old; durable when it resolves. `isStopped` is asked between two pages.
   */
  async expire(
    nowMs: number,
    kept: KeptHistory,
    isStopped: () => boolean = () => false,
  ): Promise<{ versions: number; bytes: number }> {
    this.#deps.assertUsable();
    this.#deps.staging.partials.expire(nowMs, this.#deps.partialDaysMax);
    const { index, retention } = this.#deps;
    const keptNow = keptIntervalsNow(index.intervals, kept);
    const removed = { versions: 0, bytes: 0 };
    const count = ({ versions, bytes }: typeof removed): void => {
      removed.versions += versions;
      removed.bytes += bytes;
    };
    if (retention.kind === 'points') {
      const rules = { floorDays: retention.floorDays, longestMs: kept.longestMs };
      const sweep = expiringVersionIds({ index, nowMs, rules, kept: keptNow });
      let page = sweep.next();
      for (; page.done !== true; page = sweep.next()) {
        if (isStopped()) return removed;
        count(await this.expireVersions(page.value));
        await yieldToOthers();
      }
      index.sweep.write(page.value);
    } else {
      for (const ids of expiringByRule(index, nowMs, retention, keptNow)) {
        if (isStopped()) return removed;
        count(await this.expireVersions(ids));
        await yieldToOthers();
      }
    }
    const first = keptNow().reduce<Moment | null>(
      (low, { from }) => (low === null || from < low ? from : low),
      null,
    );
    if (first !== null && !isStopped()) await this.expireGaps(first);
    return removed;
  }

  /** What `forget` would remove. */
  forgettable(nowMs: number, forgotten: readonly PointPart[], kept: KeptHistory): ForgottenHistory {
    return countForgotten(this.#forgotten(nowMs, forgotten, kept));
  }

  /**
   * Removes what only forgotten points needed, whatever its age, by `forgottenVersions`; durable when it
   * resolves.
   */
  async forget(nowMs: number, forgotten: readonly PointPart[], kept: KeptHistory): Promise<ForgottenHistory> {
    for (const rows of this.#forgotten(nowMs, forgotten, kept))
      this.#letGo(rows.map(({ replaced }) => replaced));
    return removeForgotten(this.#forgotten(nowMs, forgotten, kept), async (ids) => this.expireVersions(ids));
  }

  #forgotten(
    nowMs: number,
    forgotten: readonly PointPart[],
    kept: KeptHistory,
  ): Generator<readonly VersionRow[]> {
    this.#deps.assertUsable();
    const { index, retention } = this.#deps;
    return forgottenVersions({ index, nowMs, retention, forgotten, kept });
  }

  /** Whether something that the part may need was let go, or is just now: a point that comes afterwards is not whole for sure. */
  hasForgotten(part: PointPart): boolean {
    if (part.kind !== 'mirror') return false;
    const { intervals } = this.#deps.index;
    const interval = { indexId: Buffer.from(part.index, 'hex'), from: part.from, to: part.to };
    const from = momentsOf(intervals, interval)?.from ?? null;
    return from !== null && from < laterMoment(intervals.forgottenUntil, this.#letGoUntil);
  }

  async #expire(rows: readonly VersionRow[]): Promise<void> {
    const changes = rows.map(({ path, replaced: { id, name } }): ChangeEntry => ({
      type: 'expire',
      path,
      id,
      name,
    }));
    const ends = latestEnd(rows.map(({ replaced }) => replaced));
    await this.#deps.writer.write(this.#deps.begin(), [...changes, ...ends], []);
  }

  /** Before anything else can happen: a point that comes while they go must not count on them. */
  #letGo(ended: readonly { ended: Moment }[]): void {
    for (const { ended: until } of ended) this.#letGoUntil = laterMoment(this.#letGoUntil, until);
  }
}

/** What tells of the latest end of what goes. */
function latestEnd(gone: readonly { ended: Moment | null }[]): ChangeEntry[] {
  const until = gone.reduce((last, { ended }) => laterMoment(last, ended ?? 0n), 0n);
  return until > 0n ? [{ type: 'forgotten', until }] : [];
}
