import type { KeptHistory, PointPart } from '../points/folder-evidence.ts';
import type { SealedVersion } from './sealed-store.ts';

const dayMs = 86_400_000;

/**
 * Which versions of a sealed folder may go: those that no kept point names, that are not among the newest complete ones,
 * and that were received longer ago than the floor. The newest of all stays, complete or not.
 * `versions`: in the order of their receipt; `nowMs`: by the clock that ages are counted by.
 */
export function expiringSealedVersions(
  versions: readonly SealedVersion[],
  nowMs: number,
  { parts, newestComplete, floorDays }: KeptHistory,
): SealedVersion[] {
  const named = new Set(parts.flatMap((part) => (part.kind === 'sealed' ? [part.record] : [])));
  const newest = versions.filter(({ complete }) => complete).slice(-Math.max(1, newestComplete));
  const staying = new Set<SealedVersion>([...newest, ...versions.slice(-1)]);
  return versions.filter(
    (version) =>
      !staying.has(version) &&
      !named.has(version.hash.toString('hex')) &&
      nowMs - version.receivedAt >= floorDays * dayMs,
  );
}

/**
 * Which versions go with points that the owner has forgotten: those that they name and no kept point does, whatever
 * their age; not the newest complete ones, nor the newest of all.
 */
export function forgottenSealedVersions(
  versions: readonly SealedVersion[],
  forgotten: readonly PointPart[],
  kept: KeptHistory,
): SealedVersion[] {
  const named = new Set(forgotten.flatMap((part) => (part.kind === 'sealed' ? [part.record] : [])));
  const going = expiringSealedVersions(versions, 0, { ...kept, floorDays: -Infinity });
  return going.filter(({ hash }) => named.has(hash.toString('hex')));
}
