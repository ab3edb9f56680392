import { createHash, randomBytes } from 'node:crypto';
import { createMessage, encrypt, readKey, type KeyID, type PublicKey } from 'openpgp';
import { sealingSettings } from './openpgp-settings.ts';
import { encodePack } from './pack.ts';
import type { Recipient } from './recipient.ts';

/** A sealed object: `bytes` are one binary OpenPGP message, `hash` their SHA-256, which names it. */
export type SealedPack = { hash: Buffer; bytes: Buffer };

type SealTarget =
  | { kind: 'recipients'; keys: PublicKey[]; keyIds: KeyID[]; date: Date }
  | { kind: 'passphrase'; passphrase: string };

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
  static async toRecipients(recipients: readonly Recipient[], nowMs: number = Date.now()): Promise<Sealer> {
    if (recipients.length === 0) throw new RangeError('a message needs a recipient');
    const keys: PublicKey[] = [];
    const keyIds: KeyID[] = [];
    const validMs = Math.min(nowMs, ...recipients.map(({ expiresAt }) => (expiresAt ?? Infinity) - 1000));
    const date = new Date(validMs);
    for (const { armored, encryptionKeyId } of recipients) {
      const key = await readKey({ armoredKey: armored });
      const parts = [key, ...key.subkeys].map((part) => part.getKeyID());
      const keyId = parts.find((id) => id.toHex().toUpperCase() === encryptionKeyId);
      if (keyId === undefined) throw new RangeError(`no key ${encryptionKeyId} in the recipient's key`);
      keys.push(key);
      keyIds.push(keyId);
    }
    return new Sealer(
      { kind: 'recipients', keys, keyIds, date },
      recipients.map(({ encryptionKeyId }) => encryptionKeyId),
    );
  }

  /** Whoever knows the passphrase reads everything: it is a decryption key on the server. */
  static toPassphrase(passphrase: string): Sealer {
    if (passphrase === '') throw new RangeError('the passphrase is empty');
    return new Sealer({ kind: 'passphrase', passphrase }, []);
  }

  /** One OpenPGP message around `content`, as it is. */
  async sealMessage(content: Uint8Array): Promise<Buffer> {
    const message = await createMessage({ binary: content, filename: '', date: new Date(0) });
    const target = this.#target;
    const sealed = await encrypt({
      message,
      // given, so that no recipient's preferences choose AES-128 or SEIPDv2 (and then PKESK v6)
      sessionKey: { data: randomBytes(sessionKeyBytes), algorithm: 'aes256' },
      ...(target.kind === 'recipients'
        ? { encryptionKeys: target.keys, encryptionKeyIDs: target.keyIds, date: target.date }
        : { passwords: [target.passphrase] }),
      format: 'binary',
      config: sealingSettings,
    });
    return Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  }
}

/** Compresses, pads and seals 1 byte to 16 MiB of chunks. */
export async function sealPack(chunks: Uint8Array, sealer: Sealer): Promise<SealedPack> {
  return nameSealed(await sealer.sealMessage(encodePack(chunks)));
}

/** The message with its name. */
export function nameSealed(bytes: Buffer): SealedPack {
  return { hash: createHash('sha256').update(bytes).digest(), bytes };
}
