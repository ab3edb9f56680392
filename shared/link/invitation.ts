import { createHash } from 'node:crypto';
import { Encoder } from 'cbor-x';
import { z } from 'zod';
import { CodedError } from '../errors/coded-error.ts';
import { deviceIdFromBytes, encodeDeviceId, type DeviceId } from '../identity/device-id.ts';
import { formatAddress, parseAddress } from './address.ts';
import type { Offer } from './peer-book.ts';
import type { DeviceRole } from './peer.ts';

/** What one line of text carries from the inviting device to the joining one. Whoever has it may join. */
export type Invitation = {
  readonly inviter: DeviceRole;
  readonly deviceId: DeviceId;
  /** Where the inviter listens, at least one; texts of `formatAddress`. */
  readonly addresses: readonly string[];
  readonly offer: Offer;
  readonly secret: Buffer;
  /** ms since 1970, whole seconds, by the inviter's clock; only the inviter decides by it. */
  readonly expiresAt: number;
};

const prefix = 'mastokeep1-';
const textLengthMax = 4096;
const checksumLength = 4;
const inviters = ['agent', 'receiver', 'restorer'] as const;

const bodySchema = z.tuple([
  z.int().min(0).max(2),
  z.instanceof(Uint8Array).refine((bytes) => bytes.length === 32),
  z.array(z.string().max(300)).min(1).max(8),
  z.instanceof(Uint8Array).refine((bytes) => bytes.length === 16),
  z.int().min(0).max(0xffffffff),
  // replica, a restore of one agent's data, a restore whose agent the joining receiver names
  z.union([z.literal(0), z.instanceof(Uint8Array).refine((bytes) => bytes.length === 32), z.literal(1)]),
]);

const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, tagUint8Array: false });

/** One line without spaces that a double click selects whole: a versioned prefix, then base64url of CBOR and a checksum. */
export function formatInvitation(invitation: Invitation): string {
  const { offer } = invitation;
  const body = cbor.encode([
    inviters.indexOf(invitation.inviter),
    encodeDeviceId(invitation.deviceId),
    invitation.addresses,
    invitation.secret,
    Math.floor(invitation.expiresAt / 1000),
    offer.role === 'replica' ? 0 : offer.agentId === null ? 1 : encodeDeviceId(offer.agentId),
  ]);
  return prefix + Buffer.concat([body, checksum(body)]).toString('base64url');
}

/**
 * Reads an invitation; white space that a terminal or a mail put in is ignored.
 * @throws CodedError INVITATION_INVALID
 */
export function parseInvitation(text: string): Invitation {
  const line = text.slice(0, textLengthMax).replaceAll(/\s/g, '');
  const version = /^mastokeep(\d+)-/.exec(line);
  if (version === null) throw invalid('the text is not an invitation: one begins with mastokeep1-');
  if (!line.startsWith(prefix)) {
    throw invalid(`the invitation has version ${version[1]}, and this program reads version 1`);
  }
  const encoded = line.slice(prefix.length);
  const bytes = Buffer.from(encoded, 'base64url');
  if (!/^[\w-]*$/.test(encoded)) throw invalid('the invitation has characters that no invitation has');
  const body = bytes.subarray(0, -checksumLength);
  const isWhole = bytes.length > checksumLength && bytes.toString('base64url') === encoded;
  if (!isWhole || !bytes.subarray(-checksumLength).equals(checksum(body))) {
    throw invalid('the invitation was cut off or changed on its way');
  }
  try {
    return invitationOf(bodySchema.parse(cbor.decode(body)));
  } catch (cause) {
    throw invalid('the invitation makes no sense, though it was not cut off', cause);
  }
}

function invitationOf(body: z.infer<typeof bodySchema>): Invitation {
  const [inviterNumber, deviceId, addresses, secret, expiresAtSeconds, offered] = body;
  const inviter = inviters[inviterNumber];
  if (inviter === undefined) throw new Error('no such kind of device');
  return {
    inviter,
    deviceId: deviceIdFromBytes(deviceId),
    addresses: addresses.map((address) => formatAddress(parseAddress(address))),
    secret: Buffer.from(secret),
    expiresAt: expiresAtSeconds * 1000,
    offer:
      offered === 0
        ? { role: 'replica' }
        : { role: 'restore', agentId: offered === 1 ? null : deviceIdFromBytes(offered) },
  };
}

function checksum(body: Uint8Array): Buffer {
  return createHash('sha256').update(prefix).update(body).digest().subarray(0, checksumLength);
}

function invalid(message: string, cause?: unknown): CodedError {
  return new CodedError('INVITATION_INVALID', message, {
    hint: 'copy the whole last line that invite printed',
    cause,
  });
}
