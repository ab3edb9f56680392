import fs from 'node:fs';
import path from 'node:path';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { syncDirectory, writeFileAtomic } from '../../shared/io/atomic-file.ts';
import type { Home } from '../../shared/io/home.ts';
import { loadRecipients, type KeyFile, type Recipient } from '../../shared/sealing/recipient.ts';
import type { SealTo } from './seal-message.ts';

const passphraseName = 'passphrase';

/**
 * To whom a home's sealed folders are sealed: `<home>/recipients/<fingerprint>.asc`, public keys that people may put
 * there by hand as well; or, where there is none, the passphrase in the file `passphrase`.
 */
export class RecipientDirectory {
  readonly #home: string;
  readonly #directory: string;

  constructor(home: Home) {
    this.#home = home.directory;
    this.#directory = path.join(home.directory, 'recipients');
  }

  /** Empty where there is none. @throws CodedError KEY_INVALID, KEY_UNUSABLE */
  async list(): Promise<Recipient[]> {
    const files = this.#files();
    return files.length === 0 ? [] : loadRecipients(files.map((name) => this.#read(name)));
  }

  /** @throws CodedError KEY_INVALID, KEY_UNUSABLE, CONFIG_INVALID (nobody to seal to) */
  async sealTo(): Promise<SealTo> {
    const recipients = await this.list();
    if (recipients.length > 0) return { kind: 'recipients', recipients };
    const passphrase = this.#passphrase();
    if (passphrase !== null) return { kind: 'passphrase', passphrase };
    throw new CodedError('CONFIG_INVALID', 'there is no key to seal to', {
      hint: 'add a public key: mastokeep-agent recipient add FILE.asc',
    });
  }

  hasPassphrase(): boolean {
    return this.#passphrase() !== null;
  }

  /**
   * Keeps the public keys in a file; durable when it resolves. Gives the recipients that it holds.
   * @throws CodedError KEY_INVALID, KEY_UNUSABLE
   */
  async add(file: KeyFile): Promise<Recipient[]> {
    const recipients = await loadRecipients([file]);
    this.#make();
    for (const { fingerprint, armored } of recipients) {
      writeFileAtomic(path.join(this.#directory, `${fingerprint}.asc`), armored, 0o644);
    }
    return recipients;
  }

  /** Passphrase mode: whoever reads this file reads everything. Durable when it returns. */
  setPassphrase(passphrase: string): void {
    this.#make();
    writeFileAtomic(path.join(this.#directory, passphraseName), `${passphrase}\n`, 0o600);
  }

  /**
   * Nothing that is sealed later can be read by that key. `keyId`: fingerprint or key ID, or an unambiguous end of one.
   * @throws CodedError KEY_INVALID (no or several such recipients, or the only one)
   */
  async remove(keyId: string): Promise<Recipient> {
    const wanted = keyId.toUpperCase().replace(/^0X/, '').replaceAll(/\s/g, '');
    const kept = await Promise.all(
      this.#files().map(async (name) => ({ name, recipients: await loadRecipients([this.#read(name)]) })),
    );
    const found = kept.flatMap(({ name, recipients }) =>
      recipients
        .filter(({ fingerprint, encryptionKeyId }) =>
          [fingerprint, encryptionKeyId].some((id) => wanted.length >= 8 && id.endsWith(wanted)),
        )
        .map((recipient) => ({ name, recipient, shared: recipients.length > 1 })),
    );
    const [only, ...more] = found;
    if (only === undefined || more.length > 0) {
      throw new CodedError('KEY_INVALID', `${found.length} recipients have the key ID ${keyId}`, {
        hint: 'see "mastokeep-agent recipient list", and give the whole fingerprint',
      });
    }
    if (only.shared) {
      throw new CodedError('KEY_INVALID', `${only.name} holds several keys`, {
        hint: `edit ${path.join(this.#directory, only.name)}`,
      });
    }
    if (kept.length === 1) {
      throw new CodedError('KEY_INVALID', 'this is the only recipient: nothing could be sealed any more', {
        hint: 'add another key first: mastokeep-agent recipient add FILE.asc',
      });
    }
    fs.rmSync(path.join(this.#directory, only.name));
    syncDirectory(this.#directory);
    return only.recipient;
  }

  #files(): string[] {
    if (!fs.existsSync(this.#directory)) return [];
    return fs
      .readdirSync(this.#directory)
      .filter((name) => name.endsWith('.asc') && !name.startsWith('.'))
      .sort();
  }

  #read(name: string): KeyFile {
    return { name, content: fs.readFileSync(path.join(this.#directory, name)) };
  }

  #passphrase(): string | null {
    const file = path.join(this.#directory, passphraseName);
    if (!fs.existsSync(file)) return null;
    const text = fs.readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    return text === '' ? null : text;
  }

  #make(): void {
    if (fs.existsSync(this.#directory)) return;
    fs.mkdirSync(this.#directory, { mode: 0o700 });
    const { uid, gid } = fs.statSync(this.#home);
    if (process.getuid?.() === 0) fs.chownSync(this.#directory, uid, gid);
    syncDirectory(this.#home);
  }
}
