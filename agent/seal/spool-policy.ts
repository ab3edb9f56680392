import { isConfirmed, isConfirmedByAll, type PackFacts, type ReceiverFacts } from './known-packs.ts';

/** Something that lies in the spool. */
export type SpooledObject = { bytes: number } & Pick<
  PackFacts,
  'id' | 'sequence' | 'namedSequence' | 'createdAt' | 'lackedBy'
>;

/** What a folder has in the spool, and the folder's receivers. */
export type SpoolShare = { objects: readonly SpooledObject[]; receivers: readonly ReceiverFacts[] };

/** What of a share may go, and the receivers that lack any of it. */
export type Eviction = { objects: number[]; passedOver: string[] };

/** What nobody waits for any more: every active receiver, and at least one, holds it. */
export function chooseDelivered(
  objects: readonly SpooledObject[],
  active: readonly ReceiverFacts[],
  nowMs: number,
): number[] {
  return objects.filter((object) => isConfirmedByAll(object, active, nowMs)).map(({ id }) => id);
}

/**
 * What may go at the bound so that `bytesNeeded` become free, for each share: the oldest of all first, only what some
 * receiver holds. Gives null where that is not enough, so that whoever needs the room waits.
 */
export function chooseEvictions(
  shares: readonly SpoolShare[],
  bytesNeeded: number,
  nowMs: number,
): Eviction[] | null {
  const evictions = shares.map((): Eviction => ({ objects: [], passedOver: [] }));
  const candidates = shares.flatMap(({ objects, receivers }, share) =>
    objects
      .filter((object) => receivers.some((receiver) => isConfirmed(object, receiver, nowMs)))
      .map((object) => ({ object, receivers, eviction: evictions[share] as Eviction })),
  );
  candidates.sort((a, b) => a.object.createdAt - b.object.createdAt || a.object.sequence - b.object.sequence);
  let free = 0;
  for (const { object, receivers, eviction } of candidates) {
    if (free >= bytesNeeded) break;
    free += object.bytes;
    eviction.objects.push(object.id);
    for (const receiver of receivers) {
      if (isConfirmed(object, receiver, nowMs) || eviction.passedOver.includes(receiver.receiverId)) continue;
      eviction.passedOver.push(receiver.receiverId);
    }
  }
  return free >= bytesNeeded ? evictions : null;
}
