import { createHash, randomBytes } from 'node:crypto';
import { encryptSessionKey, readKey, type KeyID, type PublicKey, type SessionKey } from 'openpgp';
import { encryptMessage, type MessageRoom } from './encrypt-message.ts';
import { sealingSettings } from './openpgp-settings.ts';
import { packContent, type PackEffort } from './pack.ts';
import type { Recipient } from './recipient.ts';

/** A sealed object: `bytes` are one binary OpenPGP message, `hash` their SHA-256, which names it. */
export type SealedPack = { hash: Buffer; bytes: Buffer };

type SealTarget =
  | { kind: 'recipients'; keys: readonly RecipientKey[] }
  | { kind: 'passphrase'; passphrase: string };

type RecipientKey = { key: PublicKey; keyId: KeyID; date: Date };

const sessionKeyBytes = 32;

/**
 * Makes OpenPGP messages: one PKESK v3 per recipient (or one SKESK v4 with iterated S2K), then SEIPDv1 with AES-256
 * around a binary literal packet without name and date; a fresh session key each. GnuPG 2.2 reads them.
 * @see docs/sealed-format.md#messages
 */
export class Sealer {
  /** Key IDs that every message names, 16 upper case digits, in the order of the recipients; empty for a passphrase. */
  readonly recipientKeyIds: readonly string[];
  readonly #target: SealTarget;

  private constructor(target: SealTarget, recipientKeyIds: readonly string[]) {
    this.#target = target;
    this.recipientKeyIds = recipientKeyIds;
  }

  /**
   * A recipient that expired since it was loaded is still sealed to: its owner can read, and a server that stops to
   * make versions on that day would lose more. Status warns by `expiresAt`.
   */
  static async toRecipients(recipients: readonly Recipient[]): Promise<Sealer> {
    if (recipients.length === 0) throw new RangeError('a message needs a recipient');
    const keys = await Promise.all(recipients.map(async (recipient) => readRecipientKey(recipient)));
    const keyIds = recipients.map(({ encryptionKeyId }) => encryptionKeyId);
    return new Sealer({ kind: 'recipients', keys }, keyIds);
  }

  /** Whoever knows the passphrase reads everything: it is a decryption key on the server. */
  static toPassphrase(passphrase: string): Sealer {
    if (passphrase === '') throw new RangeError('the passphrase is empty');
    return new Sealer({ kind: 'passphrase', passphrase }, []);
  }

  /** One OpenPGP message around `content`, as it is: pieces that follow each other. */
  async sealMessage(content: Uint8Array | readonly Uint8Array[], room?: MessageRoom): Promise<Buffer> {
    // given, so that no recipient's preferences choose AES-128 or SEIPDv2 (and then PKESK v6)
    const sessionKey = { data: randomBytes(sessionKeyBytes), algorithm: 'aes256' } as const;
    const sessionKeyPackets = await this.#sealSessionKey(sessionKey);
    const pieces = content instanceof Uint8Array ? [content] : content;
    return encryptMessage(sessionKeyPackets, sessionKey.data, pieces, room);
  }

  /** A session key packet for each recipient, or one for the passphrase. */
  async #sealSessionKey(sessionKey: SessionKey): Promise<Buffer> {
    const target = this.#target;
    const options = { ...sessionKey, format: 'binary', config: sealingSettings } as const;
    if (target.kind === 'passphrase') {
      return Buffer.from(await encryptSessionKey({ ...options, passwords: target.passphrase }));
    }
    const packets: Uint8Array[] = [];
    for (const { key, keyId, date } of target.keys) {
      const recipient = { encryptionKeys: key, encryptionKeyIDs: keyId, date };
      packets.push(await encryptSessionKey({ ...options, ...recipient }));
    }
    return Buffer.concat(packets);
  }
}

async function readRecipientKey({ armored, encryptionKeyId, checkedAt }: Recipient): Promise<RecipientKey> {
  const key = await readKey({ armoredKey: armored });
  const keyId = [key, ...key.subkeys]
    .map((part) => part.getKeyID())
    .find((id) => id.toHex().toUpperCase() === encryptionKeyId);
  if (keyId === undefined) throw new RangeError(`no key ${encryptionKeyId} in the recipient's key`);
  return { key, keyId, date: new Date(checkedAt) };
}

/** Compresses, pads and seals 1 byte to 16 MiB of chunks. */
export async function sealPack(
  chunks: Uint8Array,
  sealer: Sealer,
  { effort = 'fast', room }: { effort?: PackEffort; room?: MessageRoom } = {},
): Promise<SealedPack> {
  return nameSealed(await sealer.sealMessage(packContent(chunks, effort), room));
}

/** The message with its name. */
export function nameSealed(bytes: Buffer): SealedPack {
  return { hash: createHash('sha256').update(bytes).digest(), bytes };
}
