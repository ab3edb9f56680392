import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { KeptHistory } from '../points/folder-evidence.ts';
import type { LiveRow } from './index-rows.ts';
import { sizeOf } from './journal-entry.ts';
import { fileRows, hashOf } from './sealed-entry.ts';
import type { SealedRemoval } from './sealed-forgetting.ts';
import { expiringSealedVersions } from './sealed-retention.ts';
import { packsOf } from './sealed-version-files.ts';
import { versionKey } from './version-index.ts';

/** Packs of a dump that was not finished stay so long after their receipt, for the next run to refer to. */
const leaseMs = 7 * 86_400_000;
const rowsAtOnce = 1000;
const versionsAtOnce = 20;

/** What goes of a sealed folder by the rules: versions by `expiringSealedVersions`, and packs that none needs any more. */
export class SealedExpiry {
  readonly #deps: SealedRemoval;

  constructor(deps: SealedRemoval) {
    this.#deps = deps;
  }

  /**
   * Removes versions that no kept point needs and then packs whose lease is over and that no version needs; durable when
   * it resolves, in batches. Cut off, or stopped between two batches, the next call finds what is left.
   */
  async run(
    nowMs: number,
    kept: KeptHistory,
    isStopped: () => boolean,
  ): Promise<{ versions: number; packs: number; bytes: number }> {
    const { index, oneByOne, removeRows } = this.#deps;
    const removed = { versions: await this.#expireVersions(nowMs, kept, isStopped), packs: 0, bytes: 0 };
    for (let after: RelativePath | null = null; ;) {
      const rows: LiveRow[] = index.liveAfter(after, rowsAtOnce);
      if (rows.length === 0 || isStopped()) return removed;
      after = rows.at(-1)?.path ?? null;
      // which of them are still unneeded is asked when nothing else happens any more
      await oneByOne(async () => {
        const expiring = rows.filter(({ path }) => {
          const row = index.live(path);
          return row !== null && this.#mayGo(row, nowMs);
        });
        if (expiring.length === 0) return;
        await removeRows(expiring, () => {});
        removed.packs += expiring.length;
        removed.bytes += expiring.reduce((sum, { holding }) => sum + sizeOf(holding), 0);
      });
    }
  }

  /** How many went. */
  async #expireVersions(nowMs: number, kept: KeptHistory, isStopped: () => boolean): Promise<number> {
    const { held, index, lacking, list, oneByOne, removeRows, versions } = this.#deps;
    const expiring = expiringSealedVersions(list(), nowMs, kept);
    let gone = 0;
    for (let at = 0; at < expiring.length && !isStopped(); at += versionsAtOnce) {
      await oneByOne(async () => {
        const going = expiring.slice(at, at + versionsAtOnce).flatMap((version) => {
          // what its packs are nobody can say of a damaged one: it stays until it is mended
          const packs = packsOf(version, held);
          return packs === null ? [] : [{ version, packs }];
        });
        const rows = going.flatMap(({ version }) => fileRows(version, index));
        if (rows.length === 0) return;
        await removeRows(rows, () => versions.remove(going));
        for (const { version } of going) lacking.forgetVersion(versionKey(version));
        gone += going.length;
      });
    }
    return gone;
  }

  #mayGo({ path, holding }: LiveRow, nowMs: number): boolean {
    if (!path.startsWith('packs/') || holding.receivedAt + leaseMs > nowMs) return false;
    return !this.#deps.versions.needs(hashOf(holding.state));
  }
}
