import type { DeviceId } from '../identity/device-id.ts';

/** A live link to one peer: who dialled, and when it came up here (ms, monotonic or not, as `nowMs`). */
export type LinkOrigin = { dialledBy: DeviceId; openedAt: number };

/**
 * Whether a link that has just come up replaces the one that there is to the same peer. Only one may stay, and both
 * devices must choose the same:
 * - the same side dialled both: it has given the old one up, so the new one stays;
 * - the old one is older than `crossingMs`: the other side would not have dialled if it still had it, so the new one stays;
 * - otherwise both dialled each other at once: the one stays that the device with the lower ID dialled.
 */
export function choosesArriving(
  existing: LinkOrigin,
  arriving: LinkOrigin,
  options: { crossingMs: number },
): boolean {
  if (existing.dialledBy === arriving.dialledBy) return true;
  if (arriving.openedAt - existing.openedAt >= options.crossingMs) return true;
  return arriving.dialledBy < existing.dialledBy;
}
