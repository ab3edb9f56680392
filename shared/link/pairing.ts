import type { TLSSocket } from 'node:tls';
import { CodedError, isCoded } from '../errors/coded-error.ts';
import type { DeviceId } from '../identity/device-id.ts';
import type { DeviceIdentity } from '../identity/device-identity.ts';
import { decodeJoinAnswer, encodeJoinRequest, splitJoinFrame, type JoinAnswer } from './join-frame.ts';
import { formatInvitation, type Invitation } from './invitation.ts';
import { dialDevice, firstThatAnswers } from './link-dialer.ts';
import type { LinkLimits } from './link-limits.ts';
import type { JoinRequest, Offer, PeerBook } from './peer-book.ts';
import { peerRole, type Peer, type PeerGrant } from './peer.ts';
import { joinAlpn } from './tls-peer.ts';

type Deps = { identity: DeviceIdentity; book: PeerBook };

/**
 * Opens an invitation and gives its text; good for ten minutes and one device. `addresses` are where others reach this
 * device, and it must be listening there.
 * @throws CodedError ADDRESS_INVALID (none), ROLE_REFUSED, DISK_FAILED
 */
export function createInvitation(
  deps: Deps,
  options: { addresses: readonly string[]; offer: Offer },
): string {
  const { addresses, offer } = options;
  if (addresses.length === 0) {
    throw new CodedError(
      'ADDRESS_INVALID',
      'an invitation needs an address at which this device can be reached',
      {
        hint: 'let it listen, and name the address with --advertise where others see another one',
      },
    );
  }
  const { secret, expiresAt } = deps.book.openInvitation(offer);
  return formatInvitation({
    inviter: deps.book.self,
    deviceId: deps.identity.deviceId,
    addresses: addresses.slice(0, 8),
    offer,
    secret,
    expiresAt,
  });
}

type JoinOptions = {
  /** Where this device listens, if it does; the inviter may then dial it as well. */
  addresses: readonly string[];
  /** Whose data a restorer that invites may read; not looked at otherwise. */
  agentId: DeviceId | null;
  limits: LinkLimits;
  signal: AbortSignal;
};

/**
 * Joins an invitation: finds exactly the device that it names, proves the secret, and is paired on both sides when it
 * resolves. Repeating it after a lost answer is safe.
 * @throws CodedError ROLE_REFUSED, INVITATION_REFUSED, and those of `dialPeer`
 */
export async function joinInvitation(
  deps: Deps,
  invitation: Invitation,
  options: JoinOptions,
): Promise<Peer> {
  const { identity, book } = deps;
  const grant = grantToJoin(deps, invitation, options.agentId);
  const request = requestThatFits(
    {
      secret: invitation.secret,
      role: book.self,
      addresses: options.addresses.slice(0, 8),
      agentId: grant.role === 'restore' ? grant.agentId : null,
    },
    options.limits.joinFrameBytesMax,
  );
  const { answer, address } = await firstThatAnswers(
    invitation.addresses,
    options.signal,
    async (address) => {
      const socket = await dialDevice({ identity }, address, {
        expected: invitation.deviceId,
        alpn: joinAlpn,
        timeoutMs: options.limits.dialTimeoutMs,
        signal: options.signal,
      });
      return { answer: await exchange(socket, request, { ...options, invitation }), address };
    },
  );
  if ('refused' in answer) {
    throw new CodedError('ROLE_REFUSED', `the other device refused: ${answer.refused}`, {
      hint: 'perhaps the two are paired already for something else',
    });
  }
  const others = invitation.addresses.filter((other) => other !== address);
  return book.pair({ deviceId: invitation.deviceId, grant: answer.paired, addresses: [address, ...others] });
}

/** What this device will be granted or grant; whatever cannot work is said before anything is sent. */
function grantToJoin({ identity, book }: Deps, invitation: Invitation, agentId: DeviceId | null): PeerGrant {
  const { offer } = invitation;
  if (invitation.deviceId === identity.deviceId) {
    throw new CodedError('ROLE_REFUSED', 'this is the invitation of this device itself', {
      hint: 'use it on the other device',
    });
  }
  const expected = peerRole(book.self, offer.role);
  if (invitation.inviter !== expected) {
    throw new CodedError(
      'ROLE_REFUSED',
      `this device is ${book.self} and the invitation is that of a ${invitation.inviter}, not of a ${expected}`,
    );
  }
  const existing = book.get(invitation.deviceId);
  if (existing !== null && existing.role !== expected) {
    throw new CodedError('ROLE_REFUSED', `the device is paired here already as ${existing.role}`, {
      hint: 'unpair it first',
    });
  }
  if (offer.role === 'replica') return { role: 'replica' };
  const named = offer.agentId ?? agentId;
  if (named === null) {
    throw new CodedError(
      'ROLE_REFUSED',
      'the invitation asks whose data may be read, and no agent was named',
      {
        hint: 'name it with --agent',
      },
    );
  }
  return { role: 'restore', agentId: named };
}

/** Long names do not keep a device from joining: the last addresses are left out. */
function requestThatFits(request: JoinRequest, bytesMax: number): Buffer {
  const frame = encodeJoinRequest(request);
  if (frame.length <= bytesMax || request.addresses.length === 0) return frame;
  return requestThatFits({ ...request, addresses: request.addresses.slice(0, -1) }, bytesMax);
}

async function exchange(
  socket: TLSSocket,
  request: Buffer,
  { invitation, limits, signal }: { invitation: Invitation; limits: LinkLimits; signal: AbortSignal },
): Promise<JoinAnswer> {
  const onAbort = () => socket.destroy();
  signal.addEventListener('abort', onAbort);
  try {
    return await new Promise<JoinAnswer>((resolve, reject) => {
      let received = Buffer.alloc(0);
      socket.setTimeout(limits.dialTimeoutMs, () => {
        reject(new CodedError('LINK_TIMEOUT', 'the other device did not answer the request to join in time'));
      });
      socket.on('data', (bytes: Buffer) => {
        try {
          received = Buffer.concat([received, bytes]);
          const body = splitJoinFrame(received, limits.joinFrameBytesMax);
          if (body !== null) resolve(decodeJoinAnswer(body));
        } catch (error) {
          reject(isCoded(error) ? error : new CodedError('PROTOCOL_VIOLATION', String(error)));
        }
      });
      // who does not prove a secret gets no answer, so no answer means that
      socket.on('close', () => {
        reject(
          new CodedError('INVITATION_REFUSED', 'the other device ended the connection without an answer', {
            hint: refusalHint(invitation.expiresAt - Date.now()),
          }),
        );
      });
      socket.write(request);
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}

/** Why an invitation is refused, as far as the joining device can know. */
function refusalHint(leftMs: number): string {
  if (leftMs <= 0) return 'it was good for ten minutes and has expired; make a new one';
  return 'it was used already, withdrawn by unpairing, or has expired by the clock over there; make a new one';
}
