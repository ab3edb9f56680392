/** What decides whether a pack may be referred to again. `usedBytes`: of its plaintext, by the latest version. */
export type PackFacts = {
  id: number;
  plainBytes: number;
  usedBytes: number;
  createdAt: number;
  inSpool: boolean;
  sequence: number;
  /** Of the first version record that names it; null while none does. */
  namedSequence: number | null;
  /** Receivers that do not hold it although they acknowledged its sequence. */
  lackedBy: ReadonlySet<string>;
};

/** `passedOver`: a pack that it lacked was removed at the spool's bound, and it has not reported since. */
export type ReceiverFacts = {
  receiverId: string;
  durableSequence: number;
  lastSeenAt: number;
  passedOver: boolean;
};

const dayMs = 86_400_000;
const activeForMs = 7 * dayMs;
/** Receivers keep packs that no version names for 7 days; a day less leaves time for the version that will name them. */
const leaseMs = 6 * dayMs;

/** The receivers that packs wait for: seen within 7 days and not passed over since. */
export function activeReceivers(receivers: readonly ReceiverFacts[], nowMs: number): ReceiverFacts[] {
  return receivers.filter(({ lastSeenAt, passedOver }) => !passedOver && nowMs - lastSeenAt < activeForMs);
}

/**
 * Whether the receiver holds the pack, as far as it has told. Before it has a version that names the pack, it keeps the
 * pack for the time of the lease only.
 */
export function isConfirmed(
  { sequence, namedSequence, createdAt, lackedBy }: ConfirmedFacts,
  { receiverId, durableSequence }: ReceiverFacts,
  nowMs: number,
): boolean {
  if (sequence > durableSequence || lackedBy.has(receiverId)) return false;
  const isNamed = namedSequence !== null && namedSequence <= durableSequence;
  return isNamed || nowMs - createdAt < leaseMs;
}

type ConfirmedFacts = Pick<PackFacts, 'sequence' | 'namedSequence' | 'createdAt' | 'lackedBy'>;

/** Whether every active receiver, and at least one, holds the pack. */
export function isConfirmedByAll(
  pack: ConfirmedFacts,
  active: readonly ReceiverFacts[],
  nowMs: number,
): boolean {
  return active.length > 0 && active.every((receiver) => isConfirmed(pack, receiver, nowMs));
}

/**
 * Whether the next version may refer to the pack (of the current epoch): the latest version uses it or it was sealed
 * since, and it is in the spool or held by every active receiver.
 */
export function isKnown(pack: PackFacts, active: readonly ReceiverFacts[], nowMs: number): boolean {
  if (pack.usedBytes === 0 && nowMs - pack.createdAt > leaseMs) return false;
  return pack.inSpool || isConfirmedByAll(pack, active, nowMs);
}

/**
 * Packs of which less than a quarter is still used, emptiest first, as long as what would be sealed again stays
 * within the budget. Their chunks count as unknown, so that a later version no longer needs them.
 */
export function choosePacksToForget(
  packs: readonly Pick<PackFacts, 'id' | 'plainBytes' | 'usedBytes'>[],
  budgetBytes: number,
): number[] {
  const sparse = packs
    .filter(({ plainBytes, usedBytes }) => usedBytes > 0 && usedBytes * 4 < plainBytes)
    .sort((a, b) => a.usedBytes / a.plainBytes - b.usedBytes / b.plainBytes || a.id - b.id);
  const chosen: number[] = [];
  let left = budgetBytes;
  for (const { id, usedBytes } of sparse) {
    left -= usedBytes;
    if (left < 0) break;
    chosen.push(id);
  }
  return chosen;
}
