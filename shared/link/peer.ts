import { CodedError } from '../errors/coded-error.ts';
import type { DeviceId } from '../identity/device-id.ts';

/**
 * What a device is in a pairing. A restoring program is a device of its own (`restorer`), also where it runs beside an
 * agent: so each pair of devices has exactly one grant, and restoring never disturbs the agent's link.
 */
export type DeviceRole = 'agent' | 'receiver' | 'restorer';

/**
 * What a pairing allows. `replica`: the receiver may pull what the agent offers. `restore`: the restorer may read, from
 * the receiver, what it holds of the agent `agentId`. Both ends record the same grant.
 */
export type PeerGrant = { role: 'replica' } | { role: 'restore'; agentId: DeviceId };

/** A paired device. `addresses` are texts of `formatAddress`, empty when it is the one that dials. */
export type Peer = {
  readonly deviceId: DeviceId;
  readonly role: DeviceRole;
  readonly grant: PeerGrant;
  readonly addresses: readonly string[];
  /** ms since 1970. */
  readonly pairedAt: number;
  /** When a restore grant last moved data, ms since 1970; null for a replica. */
  readonly lastProgressAt: number | null;
};

/** A restore grant that moved nothing for so long is over. */
export const restoreIdleMaxMs = 24 * 3_600_000;

/**
 * What the other device is when this one (`self`) is paired with it by that grant.
 * @throws CodedError ROLE_REFUSED (a pair that makes no sense: an agent lets nobody restore, a restorer replicates nothing)
 */
export function peerRole(self: DeviceRole, grantRole: PeerGrant['role']): DeviceRole {
  if (self === 'agent' && grantRole === 'replica') return 'receiver';
  if (self === 'restorer' && grantRole === 'restore') return 'receiver';
  if (self === 'receiver') return grantRole === 'replica' ? 'agent' : 'restorer';
  const hint =
    self === 'agent'
      ? 'use the restore command with this invitation'
      : 'ask the owner of the receiver for a restore invitation';
  throw new CodedError('ROLE_REFUSED', `a device that is ${self} cannot be paired for ${grantRole}`, {
    hint,
  });
}

/** True when a restore grant moved nothing for a day; a replica never ends by itself. */
export function grantEnded(peer: Peer, nowMs: number): boolean {
  return peer.lastProgressAt !== null && nowMs - peer.lastProgressAt >= restoreIdleMaxMs;
}

export function sameGrant(a: PeerGrant, b: PeerGrant): boolean {
  if (a.role === 'restore' && b.role === 'restore') return a.agentId === b.agentId;
  return a.role === b.role;
}
