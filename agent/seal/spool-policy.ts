import { isConfirmed, isConfirmedByAll, type ReceiverFacts } from './known-packs.ts';

/** Something that lies in the spool. */
export type SpooledObject = {
  id: number;
  bytes: number;
  sequence: number;
  lackedBy: ReadonlySet<string>;
};

/** What nobody waits for any more: every active receiver, and at least one, holds it. */
export function chooseDelivered(
  objects: readonly SpooledObject[],
  active: readonly ReceiverFacts[],
): number[] {
  return objects.filter((object) => isConfirmedByAll(object, active)).map(({ id }) => id);
}

/**
 * What may go at the bound so that `bytesNeeded` become free: oldest first, only what some receiver holds. Gives null
 * where that is not enough, so that whoever needs the room waits; otherwise the receivers that lack any of it as well.
 */
export function chooseEvictions(
  objects: readonly SpooledObject[],
  receivers: readonly ReceiverFacts[],
  bytesNeeded: number,
): { objects: number[]; passedOver: string[] } | null {
  const chosen: number[] = [];
  const passedOver = new Set<string>();
  let free = 0;
  for (const object of [...objects].sort((a, b) => a.sequence - b.sequence)) {
    if (free >= bytesNeeded) break;
    if (!receivers.some((receiver) => isConfirmed(object, receiver))) continue;
    chosen.push(object.id);
    free += object.bytes;
    for (const receiver of receivers) if (!isConfirmed(object, receiver)) passedOver.add(receiver.receiverId);
  }
  return free >= bytesNeeded ? { objects: chosen, passedOver: [...passedOver] } : null;
}
