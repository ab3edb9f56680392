import { generateKey } from 'openpgp';
import { sealingSettings } from './openpgp-settings.ts';

export type GeneratedKeyPair = { fingerprint: string; publicArmored: string; privateArmored: string };

/**
 * A new key pair (Ed25519 to sign, Curve25519 to encrypt, in the form that GnuPG 2.2 imports), which never expires. The
 * private part is protected by the passphrase and secret all the same: it must not reach a server's disk.
 * `userId.email`, where there is one, must look like an address.
 */
export async function generateKeyPair(
  userId: { name: string; email?: string },
  passphrase: string,
): Promise<GeneratedKeyPair> {
  if (passphrase === '') throw new RangeError('the passphrase is empty');
  const { publicKey, privateKey } = await generateKey({
    type: 'ecc',
    curve: 'curve25519Legacy',
    userIDs: [userId],
    passphrase,
    format: 'object',
    config: sealingSettings,
  });
  return {
    fingerprint: publicKey.getFingerprint().toUpperCase(),
    publicArmored: publicKey.armor(),
    privateArmored: privateKey.armor(),
  };
}
