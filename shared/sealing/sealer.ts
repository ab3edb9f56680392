import { randomBytes } from 'node:crypto';
import type { KeyID, PublicKey } from 'openpgp';
import { encryptMessage, type MessageRoom } from './encrypt-message.ts';
import { packContent, type PackEffort } from './pack.ts';
import { passphrasePacket } from './passphrase-packet.ts';
import type { Recipient } from './recipient.ts';
import { nameSealed, type SealedPack } from './sealed-pack.ts';

/** For one message alone: its session key (32 bytes), and the packets by which its readers get it. */
export type MessageKey = { sessionKey: Uint8Array; packets: Uint8Array };

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
    const { sessionKey, packets } = await this.createMessageKey();
    const pieces = content instanceof Uint8Array ? [content] : content;
    return encryptMessage(packets, sessionKey, pieces, room);
  }

  /** A new session key, with a packet for each recipient or one for the passphrase. */
  async createMessageKey(): Promise<MessageKey> {
    const sessionKey = randomBytes(sessionKeyBytes);
    const target = this.#target;
    if (target.kind === 'passphrase') {
      return { sessionKey, packets: passphrasePacket(target.passphrase, sessionKey) };
    }
    const { encryptSessionKey } = await import('openpgp');
    const { sealingSettings } = await import('./openpgp-settings.ts');
    const packets: Uint8Array[] = [];
    for (const { key, keyId, date } of target.keys) {
      const recipient = { encryptionKeys: key, encryptionKeyIDs: keyId, date };
      // the session key is given, so that no recipient's preferences choose AES-128 or SEIPDv2 (and then PKESK v6)
      const given = {
        data: sessionKey,
        algorithm: 'aes256',
        format: 'binary',
        config: sealingSettings,
      } as const;
      packets.push(await encryptSessionKey({ ...given, ...recipient }));
    }
    return { sessionKey, packets: Buffer.concat(packets) };
  }
}

async function readRecipientKey({ armored, encryptionKeyId, checkedAt }: Recipient): Promise<RecipientKey> {
  // Loaded only now: an agent that seals nothing to keys does without.
  const { readKey } = await import('openpgp');
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
