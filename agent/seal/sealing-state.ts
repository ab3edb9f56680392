import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';
import type { Recipient } from '../../shared/sealing/recipient.ts';
import type { RecipientDirectory } from './recipient-directory.ts';

/** To whom sealed folders are sealed now. */
export type SealingState = {
  mode: 'recipients' | 'passphrase' | 'none';
  /** Those that can be read, also where there is a problem with others. */
  recipients: readonly Recipient[];
  /** Where a passphrase lies on this server, also one that only older versions need; null where none does. */
  passphraseFile: string | null;
  /** Why nothing can be sealed, one for each file that cannot be used; none when it can. */
  problems: readonly CodedError[];
};

/** Reads it. What keeps it from being read is among its `problems`. */
export async function readSealingState(directory: RecipientDirectory): Promise<SealingState> {
  let passphraseFile: string | null = null;
  try {
    if (directory.hasPassphrase()) ({ passphraseFile } = directory);
    const { recipients, problems } = await directory.survey();
    const other = passphraseFile === null ? 'none' : 'passphrase';
    const mode = recipients.length + problems.length > 0 ? 'recipients' : other;
    return { mode, recipients, passphraseFile, problems };
  } catch (error) {
    return { mode: 'recipients', recipients: [], passphraseFile, problems: [unreadable(directory, error)] };
  }
}

function unreadable(directory: RecipientDirectory, error: unknown): CodedError {
  const code = systemErrorCode(error);
  if (code === null) throw error;
  return new CodedError('KEY_INVALID', `${directory.path} cannot be read: ${code}`, {
    hint: 'its files must be readable for the user of the agent',
    cause: error,
  });
}

const hourMs = 3_600_000;

/** The state of a home, read again when its files changed or an hour has passed. */
export class SealingWatch {
  readonly #directory: RecipientDirectory;
  readonly #now: () => number;
  #read = '';
  #current: SealingState = { mode: 'none', recipients: [], passphraseFile: null, problems: [] };

  constructor(directory: RecipientDirectory, now: () => number) {
    this.#directory = directory;
    this.#now = now;
  }

  get current(): SealingState {
    return this.#current;
  }

  /** After it, `current` says how it is. */
  async refresh(): Promise<void> {
    const hour = Math.floor(this.#now() / hourMs);
    const reading = `${hour}\n${this.#directory.fingerprint()}`;
    if (reading === this.#read) return;
    this.#current = await readSealingState(this.#directory);
    this.#read = reading;
  }
}
