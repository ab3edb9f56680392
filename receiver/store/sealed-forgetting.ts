import type { ForgottenHistory, KeptHistory, PointPart } from '../points/folder-evidence.ts';
import type { HeldContent } from './held-content.ts';
import type { LiveRow } from './index-rows.ts';
import { sizeOf } from './journal-entry.ts';
import type { LackingPacks } from './lacking-packs.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { fileRows, packPath } from './sealed-entry.ts';
import { forgottenSealedVersions } from './sealed-retention.ts';
import type { SealedVersion } from './sealed-store.ts';
import { packsOf } from './sealed-version-files.ts';
import { versionKey, type VersionIndex } from './version-index.ts';

/** By what versions and packs of a sealed folder are found and removed. */
export type SealedRemoval = {
  index: MirrorIndex;
  versions: VersionIndex;
  held: HeldContent;
  lacking: LackingPacks;
  /** In the order of their receipt. */
  list: () => SealedVersion[];
  oneByOne: (action: () => Promise<void>) => Promise<void>;
  /** One batch of the journal; `onRemoved` is a part of it. */
  removeRows: (rows: readonly LiveRow[], onRemoved: () => void) => Promise<void>;
};

/**
 * What goes of a sealed folder with points that the owner has forgotten: the versions that only they named, by
 * `forgottenSealedVersions`, each together with the packs that no other version needs, whatever their lease (what an agent
 * still refers to is in its newest version).
 */
export class SealedForgetting {
  readonly #deps: SealedRemoval;

  constructor(deps: SealedRemoval) {
    this.#deps = deps;
  }

  /** Changes nothing. */
  count(forgotten: readonly PointPart[], kept: KeptHistory): ForgottenHistory {
    const { index, versions, held, list } = this.#deps;
    const found = { versions: 0, bytes: 0 };
    const users = new Map<string, number>();
    for (const version of forgottenSealedVersions(list(), forgotten, kept)) {
      const packs = packsOf(version, held);
      if (packs === null) continue;
      found.versions += 1;
      found.bytes += bytesOf(fileRows(version, index));
      for (const hash of packs) {
        const pack = hash.toString('hex');
        const left = (users.get(pack) ?? versions.users(hash)) - 1;
        users.set(pack, left);
        if (left === 0) found.bytes += bytesOf([index.live(packPath(pack))]);
      }
    }
    return found;
  }

  /** Durable when it resolves, version by version. Cut off, the next call finds what is left. */
  async remove(forgotten: readonly PointPart[], kept: KeptHistory): Promise<ForgottenHistory> {
    const { index, versions, held, lacking, list, oneByOne, removeRows } = this.#deps;
    const removed = { versions: 0, bytes: 0 };
    for (const version of forgottenSealedVersions(list(), forgotten, kept)) {
      await oneByOne(async () => {
        // what its packs are nobody can say of a damaged one: it stays until it is mended
        const packs = packsOf(version, held);
        if (packs === null || versions.get(version.number, version.epoch) === null) return;
        const alone = packs.filter((hash) => versions.users(hash) === 1);
        const rows = [
          ...fileRows(version, index),
          ...alone.flatMap((hash) => index.live(packPath(hash.toString('hex'))) ?? []),
        ];
        await removeRows(rows, () => versions.remove([{ version, packs }]));
        lacking.forgetVersion(versionKey(version));
        removed.versions += 1;
        removed.bytes += bytesOf(rows);
      });
    }
    return removed;
  }
}

function bytesOf(rows: readonly (LiveRow | null)[]): number {
  return rows.reduce((sum, row) => sum + (row === null ? 0 : sizeOf(row.holding)), 0);
}
