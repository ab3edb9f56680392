import type { Recipient } from '../../shared/sealing/recipient.ts';

/** A recipient as `--json` shows it. `keyId`: what sealed messages name. `expiresAt`: ISO 8601; null for never. */
export type ShownRecipient = {
  fingerprint: string;
  keyId: string;
  userIds: string[];
  expiresAt: string | null;
  readableByGpg: boolean;
};

export function shownRecipient(recipient: Recipient): ShownRecipient {
  const { fingerprint, encryptionKeyId, userIds, expiresAt, readableByGpg } = recipient;
  return {
    fingerprint,
    keyId: encryptionKeyId,
    userIds,
    expiresAt: expiresAt === null ? null : new Date(expiresAt).toISOString(),
    readableByGpg,
  };
}
