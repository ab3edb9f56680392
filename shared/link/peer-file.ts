import { z } from 'zod';
import { parseDeviceId, type DeviceId } from '../identity/device-id.ts';
import { formatAddress, parseAddress } from './address.ts';
import type { Peer } from './peer.ts';

/** An invitation as the inviter remembers it: `secretHash` is the SHA-256 of its secret, `expiresAt` in ms. */
export type OpenInvitation = {
  readonly secretHash: Buffer;
  readonly offer: { role: 'replica' } | { role: 'restore'; agentId: DeviceId | null };
  readonly expiresAt: number;
  readonly usedBy: DeviceId | null;
};

/** What peers.json holds. */
export type PeerFile = { readonly peers: readonly Peer[]; readonly invitations: readonly OpenInvitation[] };

const deviceIdSchema = z.string().transform((text, context): DeviceId => {
  try {
    return parseDeviceId(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'not a device ID' });
    return z.NEVER;
  }
});
const addressSchema = z.string().transform((text, context): string => {
  try {
    return formatAddress(parseAddress(text));
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'not an address' });
    return z.NEVER;
  }
});
const timeSchema = z.iso.datetime().transform((text) => Date.parse(text));
const replicaSchema = z.strictObject({ role: z.literal('replica') });

const peerSchema = z
  .strictObject({
    deviceId: deviceIdSchema,
    role: z.enum(['agent', 'receiver', 'restorer']),
    grant: z.discriminatedUnion('role', [
      replicaSchema,
      z.strictObject({ role: z.literal('restore'), agentId: deviceIdSchema }),
    ]),
    addresses: z.array(addressSchema),
    pairedAt: timeSchema,
    lastProgressAt: timeSchema.nullable(),
  })
  .refine((peer) => (peer.grant.role === 'restore') === (peer.lastProgressAt !== null), {
    message: 'a restore grant, and only that, has a time of progress',
  });

const invitationSchema = z.strictObject({
  secretHash: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .transform((hex) => Buffer.from(hex, 'hex')),
  offer: z.discriminatedUnion('role', [
    replicaSchema,
    z.strictObject({ role: z.literal('restore'), agentId: deviceIdSchema.nullable() }),
  ]),
  expiresAt: timeSchema,
  usedBy: deviceIdSchema.nullable(),
});

const fileSchema = z.strictObject({
  schemaVersion: z.literal(1),
  peers: z.array(peerSchema),
  invitations: z.array(invitationSchema),
});

/** @throws SyntaxError (no JSON), ZodError */
export function parsePeerFile(text: string): PeerFile {
  const { peers, invitations } = fileSchema.parse(JSON.parse(text));
  return { peers, invitations };
}

export function formatPeerFile(content: PeerFile): string {
  const file = {
    schemaVersion: 1,
    peers: content.peers.map((peer) => ({
      deviceId: peer.deviceId,
      role: peer.role,
      grant: peer.grant,
      addresses: peer.addresses,
      pairedAt: new Date(peer.pairedAt).toISOString(),
      lastProgressAt: peer.lastProgressAt === null ? null : new Date(peer.lastProgressAt).toISOString(),
    })),
    invitations: content.invitations.map((invitation) => ({
      secretHash: invitation.secretHash.toString('hex'),
      offer: invitation.offer,
      expiresAt: new Date(invitation.expiresAt).toISOString(),
      usedBy: invitation.usedBy,
    })),
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}
