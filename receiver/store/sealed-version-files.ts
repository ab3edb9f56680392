import { hash as digest } from 'node:crypto';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { versionName, versionSignatureName } from '../../shared/sealing/object-name.ts';
import { parseVersionRecord } from '../../shared/sealing/version-record.ts';
import type { HeldContent } from './held-content.ts';
import type { LackingPacks } from './lacking-packs.ts';
import { versionKey, type HeldVersion } from './version-index.ts';

/** Notes of each version which of these packs (hexadecimal) its record names; reads the records of all versions. */
export function noteLackingVersions(
  packs: ReadonlySet<string>,
  versions: readonly HeldVersion[],
  held: HeldContent,
  lacking: LackingPacks,
): void {
  for (const version of versions) {
    const key = versionKey(version);
    const needed = packsOf(version, held);
    if (needed === null) {
      lacking.noteUnreadable(key);
      continue;
    }
    for (const hash of needed) {
      const pack = hash.toString('hex');
      if (packs.has(pack)) lacking.noteNeeded(pack, key);
    }
  }
}

/** The packs that a version's record names; null where the record is damaged or gone. */
export function packsOf(version: HeldVersion, held: HeldContent): Buffer[] | null {
  const json = held.readCurrent(versionName(version) as RelativePath);
  if (json === null || !digest('sha256', json, 'buffer').equals(version.hash)) return null;
  return parseVersionRecord(json).packs.map(([hash]) => Buffer.from(hash, 'hex'));
}

/** Names of the record and the signature of a version, as paths. */
export function versionFiles(version: { number: number; epoch: string }): [RelativePath, RelativePath] {
  return [versionName(version) as RelativePath, versionSignatureName(version) as RelativePath];
}
