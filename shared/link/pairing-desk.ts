import { CodedError } from '../errors/coded-error.ts';
import { completeDeviceId, resolveDeviceId, type DeviceId } from '../identity/device-id.ts';
import type { DeviceIdentity } from '../identity/device-identity.ts';
import { parseInvitation } from './invitation.ts';
import type { LinkLimits } from './link-limits.ts';
import { createInvitation, joinInvitation } from './pairing.ts';
import type { Offer, PeerBook } from './peer-book.ts';
import type { Peer, PeerGrant } from './peer.ts';

type Deps = {
  identity: DeviceIdentity;
  book: PeerBook;
  limits: LinkLimits;
  /** Where others reach this device; texts of `formatAddress`, empty when it does not listen. */
  reachableAt: () => string[];
};

/** What the pairing commands of both programs do, whether the program runs or not. Durable when a method resolves. */
export class PairingDesk {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** @throws CodedError ADDRESS_INVALID when nobody can reach this device, ROLE_REFUSED, DISK_FAILED */
  invite(offer: Offer): { invitation: string; expiresAt: string; addresses: string[] } {
    const invitation = createInvitation(this.#deps, { addresses: this.#deps.reachableAt(), offer });
    const { expiresAt, addresses } = parseInvitation(invitation);
    return { invitation, expiresAt: new Date(expiresAt).toISOString(), addresses: [...addresses] };
  }

  /** @throws CodedError INVITATION_INVALID, INVITATION_REFUSED, ROLE_REFUSED, LINK_UNREACHABLE */
  async join(text: string, agentId: DeviceId | null, signal: AbortSignal): Promise<Peer> {
    const { limits, reachableAt } = this.#deps;
    return joinInvitation(this.#deps, parseInvitation(text), {
      addresses: reachableAt(),
      agentId,
      limits,
      signal,
    });
  }

  /** Takes a shortened ID of a device that is paired already. @throws CodedError DEVICE_ID_INVALID, ADDRESS_INVALID, ROLE_REFUSED */
  pair(deviceIdText: string, grant: PeerGrant, addresses: readonly string[]): Peer {
    const { identity, book } = this.#deps;
    const deviceId = completeDeviceId(
      deviceIdText,
      book.peers().map((peer) => peer.deviceId),
    );
    if (deviceId === identity.deviceId) {
      throw new CodedError('USAGE', 'this is the ID of this device itself', {
        hint: 'the id command on the other device prints the other ID',
      });
    }
    return book.pair({ deviceId, grant, addresses });
  }

  /** Takes a shortened ID. @throws CodedError DEVICE_UNKNOWN, DEVICE_ID_INVALID */
  unpair(deviceIdText: string): DeviceId {
    const { book } = this.#deps;
    const deviceId = resolveDeviceId(
      deviceIdText,
      book.peers().map((peer) => peer.deviceId),
    );
    book.unpair(deviceId);
    return deviceId;
  }
}
