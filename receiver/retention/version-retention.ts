import { expiringSimple, type SimpleRetention } from './simple-retention.ts';
import { expiringStaggered, type StaggeredRetention } from './staggered-retention.ts';
import { expiringTrashcan, type TrashcanRetention } from './trashcan-retention.ts';

/**
 * How long replaced and deleted files of a mirror folder are kept, beyond what a kept restore point needs.
 * `points`: a version that no kept point includes stays for `floorDays`.
 */
export type VersionRetention =
  | ({ kind: 'simple' } & SimpleRetention)
  | ({ kind: 'trashcan' } & TrashcanRetention)
  | ({ kind: 'staggered' } & StaggeredRetention)
  | { kind: 'points'; floorDays: number };

const dayMs = 86_400_000;

/** Which of the versions of one path, none of them needed by a kept point, may go. `replacedAt`: ms, the receiver's clock. */
export function expiringVersions<T extends { replacedAt: number }>(
  versions: readonly T[],
  nowMs: number,
  retention: VersionRetention,
): T[] {
  switch (retention.kind) {
    case 'simple':
      return expiringSimple(versions, nowMs, retention);
    case 'trashcan':
      return expiringTrashcan(versions, nowMs, retention);
    case 'staggered':
      return expiringStaggered(versions, nowMs, retention);
    case 'points':
      return versions.filter(({ replacedAt }) => nowMs - replacedAt >= retention.floorDays * dayMs);
  }
}
