import fs from 'node:fs';
import path from 'node:path';
import { CodedError, isCoded, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { syncDirectory, writeFileAtomic } from '../../shared/io/atomic-file.ts';
import type { Home } from '../../shared/io/home.ts';
import {
  requireFewRecipients,
  loadRecipients,
  type KeyFile,
  type Recipient,
} from '../../shared/sealing/recipient.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';
import type { SealTo } from './seal-message.ts';

const passphraseName = 'passphrase';

/** A file of the directory: its recipients, or why it holds none. */
type KeptFile = { name: string; recipients: Recipient[]; problem: CodedError | null };

/**
 * To whom a home's sealed folders are sealed: `<home>/recipients/<fingerprint>.asc`, public keys that people may put
 * there by hand as well; or, where there is none, the passphrase in the file `passphrase`.
 */
export class RecipientDirectory {
  readonly path: string;
  readonly passphraseFile: string;
  readonly #home: string;
  readonly #now: () => number;

  constructor(home: Home, now: () => number = () => Date.now()) {
    this.#home = home.directory;
    this.path = path.join(home.directory, 'recipients');
    this.passphraseFile = path.join(this.path, passphraseName);
    this.#now = now;
  }

  /**
   * Empty where there is none. A key that expired since its file was written stays a recipient: its owner can read,
   * and dumps that end on that day would lose more.
   * @throws CodedError KEY_INVALID, KEY_UNUSABLE
   */
  async list(): Promise<Recipient[]> {
    const { recipients, problems } = await this.survey();
    const [problem] = problems;
    if (problem !== undefined) throw problem;
    return recipients;
  }

  /**
   * The recipients of the files that can be read, and why the others cannot, for what people are told: nothing may be
   * sealed to a part of them.
   */
  async survey(): Promise<{ recipients: Recipient[]; problems: CodedError[] }> {
    const kept = await this.#kept();
    const recipients = new Map(
      kept.flatMap((file) => file.recipients.map((recipient) => [recipient.fingerprint, recipient] as const)),
    );
    const problems = kept.flatMap(({ problem }) => problem ?? []);
    try {
      requireFewRecipients(recipients.size);
    } catch (error) {
      if (!isCoded(error)) throw error;
      problems.push(error);
    }
    return { recipients: [...recipients.values()], problems };
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

  /** Whether a passphrase lies here; it counts only where there is no recipient. */
  hasPassphrase(): boolean {
    return this.#passphrase() !== null;
  }

  /** Changes whenever `list` or `hasPassphrase` may give something else, but for the passing of time. */
  fingerprint(): string {
    try {
      const looks = [...this.#files(), passphraseName].map((name) => {
        const found = fs.statSync(path.join(this.path, name), { throwIfNoEntry: false });
        return found === undefined
          ? name
          : `${name} ${found.ino} ${found.size} ${found.mtimeMs} ${found.ctimeMs}`;
      });
      return looks.join('\n');
    } catch (error) {
      return systemErrorCode(error) ?? String(error);
    }
  }

  /**
   * Keeps the public keys in a file; durable when it resolves. Gives the recipients that it holds.
   * @throws CodedError KEY_INVALID (also: too many with those that are here), KEY_UNUSABLE
   */
  async add(file: KeyFile): Promise<Recipient[]> {
    const recipients = await loadRecipients([file], this.#now());
    const kept = (await this.#kept()).flatMap((held) => held.recipients);
    requireFewRecipients(new Set([...kept, ...recipients].map(({ fingerprint }) => fingerprint)).size);
    this.#make();
    for (const { fingerprint, armored } of recipients) {
      writeFileAtomic(path.join(this.path, `${fingerprint}.asc`), armored, 0o644);
    }
    return recipients;
  }

  /** Passphrase mode: whoever reads this file (0600) reads everything. Durable when it returns. */
  setPassphrase(passphrase: string): void {
    this.#make();
    writeFileAtomic(this.passphraseFile, `${passphrase}\n`, 0o600);
  }

  /**
   * `keyId`: fingerprint or key ID, or an end or a beginning of one that has eight digits at least.
   * @throws CodedError KEY_INVALID (no or several such recipients), or why the one cannot be read
   */
  async find(keyId: string): Promise<Recipient> {
    const { recipient, problem } = onlyMatch(await this.#kept(), keyId);
    if (recipient === null) throw problem ?? new Error('a file of keys without a key');
    return recipient;
  }

  /**
   * Nothing that is sealed later can be read by that key. `keyId` as for `find`; of a key that can no longer be read, what
   * the name of its file says. Durable when it resolves.
   * @throws CodedError KEY_INVALID (no or several such recipients, or the only one)
   */
  async remove(keyId: string): Promise<{ fingerprint: string; recipient: Recipient | null }> {
    const kept = await this.#kept();
    const { name, fingerprint, recipient } = onlyMatch(kept, keyId);
    if (kept.some((file) => file.name === name && file.recipients.length > 1)) {
      throw new CodedError('KEY_INVALID', `${name} holds several keys`, {
        hint: `edit ${path.join(this.path, name)}`,
      });
    }
    if (!kept.some((file) => file.name !== name && file.recipients.length > 0)) {
      throw new CodedError('KEY_INVALID', 'this is the only recipient: nothing could be sealed any more', {
        hint: 'add another key first: mastokeep-agent recipient add FILE.asc',
      });
    }
    fs.rmSync(path.join(this.path, name));
    syncDirectory(this.path);
    return { fingerprint, recipient };
  }

  async #kept(): Promise<KeptFile[]> {
    return Promise.all(
      this.#files().map(async (name) => {
        try {
          return { name, recipients: await this.#load(name), problem: null };
        } catch (error) {
          return { name, recipients: [], problem: asProblem(path.join(this.path, name), error) };
        }
      }),
    );
  }

  /** What became unusable by the passing of time alone is judged as of the time when the file was written. */
  async #load(name: string): Promise<Recipient[]> {
    const file = path.join(this.path, name);
    const key = { name: file, content: readPlainFile(file) };
    try {
      return await loadRecipients([key], this.#now());
    } catch (error) {
      if (!isCoded(error, 'KEY_UNUSABLE')) throw error;
      return await loadRecipients([key], fs.statSync(file).mtimeMs).catch(() => {
        throw error;
      });
    }
  }

  #files(): string[] {
    if (!fs.existsSync(this.path)) return [];
    return fs
      .readdirSync(this.path)
      .filter((name) => name.endsWith('.asc') && !name.startsWith('.'))
      .sort();
  }

  #passphrase(): string | null {
    if (!fs.existsSync(this.passphraseFile)) return null;
    const text = fs.readFileSync(this.passphraseFile, 'utf8').replace(/\r?\n$/, '');
    return text === '' ? null : text;
  }

  #make(): void {
    if (fs.existsSync(this.path)) return;
    fs.mkdirSync(this.path, { mode: 0o700 });
    const { uid, gid } = fs.statSync(this.#home);
    if (process.getuid?.() === 0) fs.chownSync(this.path, uid, gid);
    syncDirectory(this.#home);
  }
}

type Match = {
  name: string;
  fingerprint: string;
  recipient: Recipient | null;
  problem: CodedError | null;
};

function onlyMatch(kept: readonly KeptFile[], keyId: string): Match {
  const found = kept.flatMap((file) => matches(file, keyId));
  const [only, ...more] = found;
  if (only !== undefined && more.length === 0) return only;
  const count = only === undefined ? 'no recipient has' : `${found.length} recipients have`;
  throw new CodedError('KEY_INVALID', `${count} the key ID ${keyId}`, {
    hint: 'see "mastokeep-agent recipient list", and give at least eight digits, or the whole fingerprint',
  });
}

function matches({ name, recipients, problem }: KeptFile, keyId: string): Match[] {
  const wanted = keyId.toUpperCase().replaceAll(/\s/g, '').replace(/^0X/, '');
  const means = (id: string): boolean => wanted.length >= 8 && (id.endsWith(wanted) || id.startsWith(wanted));
  if (problem !== null) {
    const fingerprint = path.basename(name, '.asc').toUpperCase();
    return means(fingerprint) ? [{ name, fingerprint, recipient: null, problem }] : [];
  }
  return recipients
    .filter(({ fingerprint, encryptionKeyId }) => means(fingerprint) || means(encryptionKeyId))
    .map((recipient) => ({ name, fingerprint: recipient.fingerprint, recipient, problem }));
}

/** Why one file of keys cannot be used; a defect is thrown on. */
function asProblem(file: string, error: unknown): CodedError {
  if (isCoded(error)) return error;
  const code = systemErrorCode(error);
  if (code === null) throw error;
  return new CodedError('KEY_INVALID', `${file} cannot be read: ${code}`, {
    hint: 'it must be a file that the user of the agent can read; remove it, or correct its owner and mode',
    cause: error,
  });
}

/** Dumps read this: what is no plain file, or too large for a key, must not hold them up. @throws CodedError KEY_INVALID */
function readPlainFile(file: string): Buffer {
  const stats = fs.statSync(file);
  // of a directory the system says why it cannot be read
  if (stats.isDirectory()) return fs.readFileSync(file);
  if (stats.isFile() && stats.size <= sealedLimits.keyFileBytesMax) return fs.readFileSync(file);
  throw new CodedError('KEY_INVALID', `${file} is no file of at most ${sealedLimits.keyFileBytesMax} bytes`, {
    hint: 'remove it; keys are added with "mastokeep-agent recipient add FILE.asc"',
  });
}
