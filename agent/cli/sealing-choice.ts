import { canAsk } from '../../shared/cli/prompt.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { loadRecipients, type KeyFile } from '../../shared/sealing/recipient.ts';
import { requireKeyDestination, type KeyDestination } from './key-handover.ts';
import { readPassphraseFile } from './passphrase-file.ts';
import { readKeyFile } from './recipient-command.ts';

/** To whom sealed folders shall be sealed. `keys` may be empty where a key pair is generated. */
export type SealingChoice =
  | { kind: 'none' }
  | { kind: 'passphrase'; passphrase: string }
  | {
      kind: 'recipients';
      keys: KeyFile[];
      generate: { destination: KeyDestination; passphrase: string } | null;
    };

export type SealingOptions = {
  recipient?: string[];
  generateKey?: string;
  keyPassphraseFile?: string;
  passphraseFile?: string;
  challengeFile?: string;
};

/**
 * What the options say, and for the rest what a person answers, who is asked where `ask` is true.
 * @throws CodedError USAGE, KEY_INVALID, KEY_UNUSABLE
 */
export async function chooseSealing(options: SealingOptions, ask: boolean): Promise<SealingChoice> {
  const { recipient = [], generateKey, keyPassphraseFile, passphraseFile } = options;
  if (passphraseFile !== undefined && (recipient.length > 0 || generateKey !== undefined)) {
    throw new CodedError('USAGE', 'dumps are sealed either to keys or with a passphrase', {
      hint: 'give --recipient and --generate-key, or --passphrase-file',
    });
  }
  if (keyPassphraseFile !== undefined && generateKey === undefined) {
    throw new CodedError('USAGE', '--key-passphrase-file is for the key that --generate-key makes');
  }
  if (passphraseFile !== undefined) {
    return { kind: 'passphrase', passphrase: readPassphraseFile(passphraseFile) };
  }
  if (recipient.length === 0 && generateKey === undefined) {
    if (!ask) return { kind: 'none' };
    const { askSealing } = await import('./init-questions.ts');
    return askSealing();
  }
  const keys = recipient.map(readKeyFile);
  if (keys.length > 0) await loadRecipients(keys);
  if (generateKey === undefined) return { kind: 'recipients', keys, generate: null };
  requireKeyDestination(generateKey);
  const passphrase = await passphraseOfNewKey(keyPassphraseFile ?? null, ask);
  return { kind: 'recipients', keys, generate: { destination: generateKey, passphrase } };
}

async function passphraseOfNewKey(file: string | null, ask: boolean): Promise<string> {
  if (file !== null) return readPassphraseFile(file);
  if (ask) {
    const { askKeyPassphrase } = await import('./init-questions.ts');
    return askKeyPassphrase();
  }
  throw new CodedError('USAGE', 'the new private key needs a passphrase, and nobody can be asked for it', {
    hint: canAsk()
      ? 'give --key-passphrase-file FILE, or leave out --yes and --json'
      : 'give --key-passphrase-file FILE',
  });
}
