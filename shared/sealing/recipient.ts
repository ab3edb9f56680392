import type { Key, Subkey } from 'openpgp';
import { CodedError } from '../errors/coded-error.ts';
import { readPacketHeader, tagPublicKey, tagSecretKey } from './packet-header.ts';
import { sealedLimits } from './sealed-limits.ts';

/** Somebody to whom packs are sealed: plain data that may be stored and given to a worker. */
export type Recipient = {
  /** Of the primary key, upper case hexadecimal, as `gpg --fingerprint` prints it without spaces. */
  fingerprint: string;
  /** Of the key packet that session keys are encrypted to, 16 upper case digits; receivers can see it. */
  encryptionKeyId: string;
  userIds: string[];
  /** When the primary key or its encryption key stops to be valid, ms; null when never. */
  expiresAt: number | null;
  /** When it was found usable, ms. Sealing judges the key as of then and so depends on no clock. */
  checkedAt: number;
  /** False for keys that GnuPG 2.2 does not know (OpenPGP v6, the new X25519): their owner needs another program. */
  readableByGpg: boolean;
  /** The public key alone, armored. */
  armored: string;
};

export type KeyFile = { name: string; content: Uint8Array | string };

/**
 * The recipients in files of public keys, armored or binary, each of one or more keys, in order and without
 * duplicates. Checks that each can be sealed to now.
 * @param nowMs the time for which expiry is judged
 * @throws CodedError KEY_INVALID (garbage, a secret key, no key at all), KEY_UNUSABLE (expired, revoked, cannot encrypt)
 */
export async function loadRecipients(
  files: readonly KeyFile[],
  nowMs: number = Date.now(),
): Promise<Recipient[]> {
  const recipients = new Map<string, Recipient>();
  for (const file of files) {
    for (const key of await readKeyFile(file)) {
      const recipient = await toRecipient(key, file.name, nowMs);
      recipients.set(recipient.fingerprint, recipient);
    }
  }
  if (recipients.size === 0) throw new CodedError('KEY_INVALID', 'no recipient key was given');
  requireFewRecipients(recipients.size);
  return [...recipients.values()];
}

/** More could be in no message and no version record. @throws CodedError KEY_INVALID */
export function requireFewRecipients(count: number): void {
  if (count <= sealedLimits.recipientsMax) return;
  throw new CodedError('KEY_INVALID', `${count} recipients are more than ${sealedLimits.recipientsMax}`, {
    hint: 'remove some with: mastokeep-agent recipient remove KEY-ID',
  });
}

async function readKeyFile(file: KeyFile): Promise<Key[]> {
  const bytes = Buffer.from(file.content);
  if (bytes.length > sealedLimits.keyFileBytesMax) {
    throw new CodedError('KEY_INVALID', `${file.name} is too large for a file of keys`);
  }
  const blocks = await readBlocks(file.name, bytes);
  const keys: Key[] = [];
  for (const block of blocks) {
    const read = await readBlock(block).catch((cause: unknown) => {
      throw noKey(file.name, cause instanceof Error ? cause.message : String(cause), cause);
    });
    const secret = read.find((key) => key.isPrivate());
    if (secret !== undefined) throw secretKey(file.name, fingerprintOf(secret));
    keys.push(...read);
  }
  if (keys.length === 0) throw noKey(file.name, 'there is no key in it');
  return keys;
}

/** The binary content of every armored block (people concatenate files), or the file as it is. */
async function readBlocks(name: string, bytes: Buffer): Promise<Uint8Array[]> {
  const text = bytes.toString('latin1');
  if (!text.includes('-----BEGIN PGP ')) return [bytes];
  const blocks: Uint8Array[] = [];
  for (const [block, kind = ''] of text.matchAll(
    /-----BEGIN PGP ([A-Z ,0-9/]+)-----[^]*?(?:-----END PGP |$)/g,
  )) {
    refuseArmorOfOtherKinds(name, kind);
    const whole = `${block.replace(/-----END PGP $/, '')}-----END PGP ${kind}-----\n`;
    const { unarmor } = await import('openpgp');
    try {
      const { data } = await unarmor(whole);
      // typed as a stream, which it is only for streams
      blocks.push(data as unknown as Uint8Array);
    } catch (cause) {
      throw noKey(name, cause instanceof Error ? cause.message : String(cause), cause);
    }
  }
  return blocks;
}

/** The keys of a block: all of them, or an error, so that no recipient gets lost silently. */
async function readBlock(block: Uint8Array): Promise<Key[]> {
  // Loaded only now: no command but those that read keys needs it.
  const { readKeys } = await import('openpgp');
  const keys = await readKeys({ binaryKeys: block });
  const expected = countPrimaryKeys(Buffer.from(block));
  if (keys.length !== expected) {
    throw new Error(`of ${expected} keys in it only ${keys.length} can be read`);
  }
  return keys;
}

function countPrimaryKeys(block: Buffer): number {
  let count = 0;
  for (let offset = 0; offset < block.length;) {
    const packet = readPacketHeader(block, offset);
    if (packet.tag === tagPublicKey || packet.tag === tagSecretKey) count += 1;
    offset = packet.end;
  }
  return count;
}

function noKey(name: string, why: string, cause?: unknown): CodedError {
  return new CodedError('KEY_INVALID', `${name} holds no OpenPGP public key that can be read: ${why}`, {
    hint: 'export it with: gpg --armor --export ADDRESS',
    cause,
  });
}

function refuseArmorOfOtherKinds(name: string, kind: string): void {
  if (kind === 'PUBLIC KEY BLOCK') return;
  if (kind === 'PRIVATE KEY BLOCK') throw secretKey(name, null);
  throw new CodedError('KEY_INVALID', `${name} holds a PGP ${kind.toLowerCase()}, not a public key`, {
    hint: 'export the key with: gpg --armor --export ADDRESS',
  });
}

function secretKey(name: string, fingerprint: string | null): CodedError {
  const which = fingerprint === null ? 'a secret key' : `the secret key ${fingerprint}`;
  return new CodedError('KEY_INVALID', `${name} holds ${which}; a server must only have the public key`, {
    hint: 'export the public key with: gpg --armor --export ADDRESS, and remove the secret one from this machine',
    context: fingerprint === null ? {} : { fingerprint },
  });
}

async function toRecipient(key: Key, fileName: string, nowMs: number): Promise<Recipient> {
  const fingerprint = fingerprintOf(key);
  const now = new Date(nowMs);
  const unusable = (why: string, hint: string, cause?: unknown): CodedError =>
    new CodedError('KEY_UNUSABLE', `key ${fingerprint} in ${fileName} ${why}`, {
      hint,
      cause,
      context: { fingerprint },
    });
  if (await key.isRevoked(undefined, undefined, now)) {
    throw unusable('is revoked', 'give a key that is still in use');
  }
  const keyExpiry = await expiryOf(key);
  if (keyExpiry !== null && keyExpiry <= nowMs) {
    throw unusable(
      `expired on ${new Date(keyExpiry).toISOString()}`,
      'extend it with: gpg --quick-set-expire, and export it again',
    );
  }
  let encryptionKey: Key | Subkey;
  try {
    encryptionKey = await key.getEncryptionKey(undefined, now);
  } catch (cause) {
    throw unusable(
      await whyNoEncryption(key, now, cause),
      'give a key with a valid subkey for encryption',
      cause,
    );
  }
  const subkeyExpiry = encryptionKey === key ? null : dateMs(await encryptionKey.getExpirationTime(now));
  const expiries = [keyExpiry, subkeyExpiry].filter((expiry) => expiry !== null);
  return {
    fingerprint,
    encryptionKeyId: encryptionKey.getKeyID().toHex().toUpperCase(),
    userIds: key.getUserIDs(),
    expiresAt: expiries.length === 0 ? null : Math.min(...expiries),
    checkedAt: nowMs,
    readableByGpg: (await knownToGpg(key)) && (await knownToGpg(encryptionKey)),
    armored: key.toPublic().armor(),
  };
}

/** GnuPG 2.2 knows version 4 keys with the algorithms that existed before RFC 9580. */
async function knownToGpg(key: Key | Subkey): Promise<boolean> {
  const { enums } = await import('openpgp');
  const algorithms: ReadonlySet<number> = new Set([
    enums.publicKey.x25519,
    enums.publicKey.x448,
    enums.publicKey.ed25519,
    enums.publicKey.ed448,
  ]);
  return key.keyPacket.version === 4 && !algorithms.has(key.keyPacket.algorithm);
}

async function whyNoEncryption(key: Key, now: Date, cause: unknown): Promise<string> {
  for (const subkey of key.subkeys) {
    const algorithm = subkey.getAlgorithmInfo().algorithm;
    if (algorithm.startsWith('ed') || algorithm === 'ecdsa' || algorithm === 'dsa') continue;
    const expiry = dateMs(await subkey.getExpirationTime(now).catch(() => null));
    if (expiry !== null && expiry <= now.getTime()) {
      return `cannot encrypt: its subkey ${subkey.getKeyID().toHex().toUpperCase()} expired on ${new Date(expiry).toISOString()}`;
    }
  }
  const why = cause instanceof Error ? cause.message : String(cause);
  return `cannot encrypt (${why})`;
}

async function expiryOf(key: Key): Promise<number | null> {
  return dateMs(await key.getExpirationTime());
}

function dateMs(value: Date | number | null): number | null {
  return value instanceof Date && Number.isFinite(value.getTime()) ? value.getTime() : null;
}

function fingerprintOf(key: Key): string {
  return key.getFingerprint().toUpperCase();
}
