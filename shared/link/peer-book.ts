import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import fs from 'node:fs';
import { CodedError, systemErrorCode } from '../errors/coded-error.ts';
import type { DeviceId } from '../identity/device-id.ts';
import { writeFileAtomic } from '../io/atomic-file.ts';
import { formatAddress, parseAddress } from './address.ts';
import { formatPeerFile, parsePeerFile, type OpenInvitation, type PeerFile } from './peer-file.ts';
import { grantEnded, peerRole, sameGrant, type DeviceRole, type Peer, type PeerGrant } from './peer.ts';

export const invitationLifetimeMs = 10 * 60_000;
const openInvitationsMax = 16;
const addressesMax = 8;
/** A restore's progress is written down at most so often; the grant then ends that much early, at worst. */
const progressIntervalMs = 10 * 60_000;

/** What an invitation offers; `agentId` is null where the joining receiver's owner says whose data it is. */
export type Offer = { role: 'replica' } | { role: 'restore'; agentId: DeviceId | null };

/** What happened to the pairing with a device: it joined an invitation of this one, or anything else. */
export type PeerChange = 'joined' | 'other';

/** What a joining device says; `agentId` counts only where the offer left it open. */
export type JoinRequest = {
  secret: Uint8Array;
  role: DeviceRole;
  addresses: readonly string[];
  agentId: DeviceId | null;
};

/**
 * Who is paired with this device, and the invitations that are open, in one file (peers.json). One process at a time
 * writes it: the running program, or a command that holds the home's lock. Every change is durable when its method
 * returns, and only then visible. Of an invitation's secret only the SHA-256 is kept.
 */
export class PeerBook {
  readonly self: DeviceRole;
  readonly #file: string;
  readonly #now: () => number;
  readonly #listeners = new Set<(deviceId: DeviceId, change: PeerChange) => void>();
  #content: PeerFile;

  /**
   * Reads the file; a missing one is an empty book.
   * @throws CodedError PEERS_DAMAGED, DISK_FAILED
   */
  static open(deps: { file: string; self: DeviceRole; now?: () => number }): PeerBook {
    return new PeerBook(deps.file, deps.self, deps.now ?? (() => Date.now()));
  }

  private constructor(file: string, self: DeviceRole, now: () => number) {
    this.#file = file;
    this.self = self;
    this.#now = now;
    this.#content = readPeerFile(file);
  }

  /** The paired devices, without those whose grant has ended; in the order of pairing. */
  peers(): readonly Peer[] {
    const now = this.#now();
    return this.#content.peers.filter((peer) => !grantEnded(peer, now));
  }

  /** The paired device, or null when it is none, or its grant has ended. */
  get(deviceId: DeviceId): Peer | null {
    return this.peers().find((peer) => peer.deviceId === deviceId) ?? null;
  }

  /**
   * Pairs a device, or gives one that is paired for the same role new addresses and a new restore grant.
   * @throws CodedError ROLE_REFUSED (paired for another role, or a role that makes no sense here), ADDRESS_INVALID, DISK_FAILED
   */
  pair(device: { deviceId: DeviceId; grant: PeerGrant; addresses: readonly string[] }): Peer {
    return this.#replacePeer(device, this.#content.invitations, 'other');
  }

  /**
   * Ends a pairing; live connections end at once. An invitation that the device used is forgotten with it.
   * @throws CodedError DEVICE_UNKNOWN, DISK_FAILED
   */
  unpair(deviceId: DeviceId): void {
    if (!this.#content.peers.some((peer) => peer.deviceId === deviceId)) {
      throw new CodedError('DEVICE_UNKNOWN', `device ${deviceId} is not paired here`);
    }
    this.#write({
      peers: this.#content.peers.filter((peer) => peer.deviceId !== deviceId),
      invitations: this.#content.invitations.filter((invitation) => invitation.usedBy !== deviceId),
    });
    this.#notify([deviceId]);
  }

  /**
   * Opens an invitation for ten minutes. The secret (16 bytes) leaves with the invitation and is kept nowhere.
   * @throws CodedError ROLE_REFUSED, DISK_FAILED
   */
  openInvitation(offer: Offer): { secret: Buffer; expiresAt: number } {
    peerRole(this.self, offer.role);
    if (offer.role === 'restore' && (offer.agentId === null) !== (this.self === 'restorer')) {
      throw new CodedError('ROLE_REFUSED', 'a restore invitation of a receiver names one agent', {
        hint: 'name the agent whose data may be read',
      });
    }
    const secret = randomBytes(16);
    const now = this.#now();
    const expiresAt = now + invitationLifetimeMs;
    const opened: OpenInvitation = { secretHash: hashSecret(secret), offer, expiresAt, usedBy: null };
    const others = this.#content.invitations.filter((invitation) => invitation.expiresAt > now);
    this.#write({
      peers: this.#content.peers,
      invitations: [...others.slice(1 - openInvitationsMax), opened],
    });
    return { secret, expiresAt };
  }

  /** Whether any invitation could be joined now; without one, unknown devices are not even listened to. */
  hasOpenInvitation(): boolean {
    const now = this.#now();
    return this.#content.invitations.some((invitation) => invitation.expiresAt > now);
  }

  /**
   * Pairs the device that proves the secret of an open invitation. Pairing and the end of the invitation are one durable
   * write, so the answer may go out when this returns. The device that used an invitation may repeat its request while
   * the invitation would be open (its answer was lost) and gets nothing new by it; for everybody else it is used.
   * @throws CodedError INVITATION_REFUSED (unknown, used or expired), ROLE_REFUSED (with the secret proven), DISK_FAILED
   */
  redeem(deviceId: DeviceId, request: JoinRequest): Peer {
    const presented = hashSecret(request.secret);
    let invitation: OpenInvitation | null = null;
    for (const open of this.#content.invitations) {
      if (timingSafeEqual(open.secretHash, presented)) invitation = open;
    }
    if (invitation === null) throw refused('no invitation with this secret is open');
    if (invitation.expiresAt <= this.#now()) throw refused('the invitation has expired');
    if (invitation.usedBy !== null) {
      const peer = this.get(deviceId);
      if (invitation.usedBy === deviceId && peer !== null) return peer;
      throw refused('the invitation was used already');
    }
    const expected = peerRole(this.self, invitation.offer.role);
    if (request.role !== expected) {
      throw new CodedError('ROLE_REFUSED', `the invitation is for a ${expected}, not for a ${request.role}`);
    }
    const grant = offeredGrant(invitation.offer, request.agentId);
    const used = { ...invitation, usedBy: deviceId };
    return this.#replacePeer(
      { deviceId, grant, addresses: request.addresses },
      this.#content.invitations.map((other) => (other === invitation ? used : other)),
      'joined',
    );
  }

  /** Keeps a restore grant alive: data moved. Durable within ten minutes of progress, not at once. @throws CodedError DISK_FAILED */
  noteProgress(deviceId: DeviceId): void {
    const now = this.#now();
    const peer = this.get(deviceId);
    if (peer === null || peer.lastProgressAt === null || now - peer.lastProgressAt < progressIntervalMs)
      return;
    const moved = { ...peer, lastProgressAt: now };
    this.#write({
      peers: this.#content.peers.map((other) => (other.deviceId === deviceId ? moved : other)),
      invitations: this.#content.invitations,
    });
  }

  /** Forgets grants and invitations that have ended and tells the listeners of the devices concerned. @throws CodedError DISK_FAILED */
  expire(): void {
    const now = this.#now();
    const ended = this.#content.peers.filter((peer) => grantEnded(peer, now));
    const invitations = this.#content.invitations.filter((invitation) => invitation.expiresAt > now);
    if (ended.length === 0 && invitations.length === this.#content.invitations.length) return;
    this.#write({ peers: this.#content.peers.filter((peer) => !ended.includes(peer)), invitations });
    this.#notify(ended.map((peer) => peer.deviceId));
  }

  /** Calls the listener after a device was paired, changed or unpaired. Returns the way to stop it. */
  onChange(listener: (deviceId: DeviceId, change: PeerChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #replacePeer(
    device: { deviceId: DeviceId; grant: PeerGrant; addresses: readonly string[] },
    invitations: readonly OpenInvitation[],
    change: PeerChange,
  ): Peer {
    const now = this.#now();
    const role = peerRole(this.self, device.grant.role);
    const existing = this.get(device.deviceId);
    if (existing !== null && existing.role !== role) {
      throw new CodedError('ROLE_REFUSED', `device ${device.deviceId} is paired here as ${existing.role}`, {
        hint: 'unpair it first',
      });
    }
    const addresses = device.addresses.map((text) => formatAddress(parseAddress(text)));
    const peer: Peer = {
      deviceId: device.deviceId,
      role,
      grant: device.grant,
      addresses: [...new Set(addresses)].slice(0, addressesMax),
      pairedAt: existing !== null && sameGrant(existing.grant, device.grant) ? existing.pairedAt : now,
      lastProgressAt: device.grant.role === 'restore' ? now : null,
    };
    const others = this.#content.peers.filter((other) => other.deviceId !== device.deviceId);
    this.#write({ peers: [...others, peer], invitations });
    this.#notify([peer.deviceId], change);
    return peer;
  }

  #write(content: PeerFile): void {
    try {
      writeFileAtomic(this.#file, formatPeerFile(content));
    } catch (cause) {
      throw new CodedError('DISK_FAILED', `the paired devices could not be written to ${this.#file}`, {
        cause,
      });
    }
    this.#content = content;
  }

  #notify(deviceIds: readonly DeviceId[], change: PeerChange = 'other'): void {
    for (const deviceId of deviceIds) for (const listener of this.#listeners) listener(deviceId, change);
  }
}

function offeredGrant(offer: Offer, agentId: DeviceId | null): PeerGrant {
  if (offer.role === 'replica') return offer;
  const named = offer.agentId ?? agentId;
  if (named === null) {
    throw new CodedError(
      'ROLE_REFUSED',
      'the invitation asks whose data may be read, and no agent was named',
    );
  }
  return { role: 'restore', agentId: named };
}

function readPeerFile(file: string): PeerFile {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (cause) {
    if (systemErrorCode(cause) === 'ENOENT') return { peers: [], invitations: [] };
    throw new CodedError('DISK_FAILED', `the paired devices could not be read from ${file}`, { cause });
  }
  try {
    return parsePeerFile(text);
  } catch (cause) {
    throw new CodedError('PEERS_DAMAGED', `${file} cannot be understood`, {
      hint: 'put it back from a backup, or move it away and pair the devices again; data is not lost by that',
      cause,
    });
  }
}

function hashSecret(secret: Uint8Array): Buffer {
  return createHash('sha256').update(secret).digest();
}

function refused(message: string): CodedError {
  return new CodedError('INVITATION_REFUSED', message, { hint: 'make a new invitation' });
}
