import { askChoice, askNewPassphrase, askText, reportMistake } from '../../shared/cli/prompt.ts';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { requireMemoryPath } from '../../shared/io/memory-file.ts';
import { loadRecipients, type KeyFile } from '../../shared/sealing/recipient.ts';
import type { KeyDestination } from './key-handover.ts';
import { readKeyFile } from './recipient-command.ts';
import type { SealingChoice } from './sealing-choice.ts';

const defaultKeyFile = '/dev/shm/mastokeep-private.asc';

/** Asks which Mastodon it is about; empty for none. */
export async function askMastodon(): Promise<string> {
  return askText('Directory of the Mastodon installation (empty: folders come later)');
}

/** Asks who shall be able to read sealed folders. */
export async function askSealing(): Promise<SealingChoice> {
  const way = await askChoice('Who shall be able to read dumps and secrets?', [
    { value: 'key', label: 'The owner of a public key that is here as a file' },
    { value: 'new', label: 'The owner of a new key, made now' },
    {
      value: 'passphrase',
      label: 'Whoever knows a passphrase',
      hint: 'stays on this server: who breaks in reads all',
    },
    { value: 'none', label: 'Nobody yet: only media, or keys later' },
  ]);
  switch (way) {
    case 'key':
      return { kind: 'recipients', keys: await askKeyFiles(), generate: null };
    case 'new': {
      const destination = await askKeyDestination();
      return {
        kind: 'recipients',
        keys: [],
        generate: { destination, passphrase: await askKeyPassphrase() },
      };
    }
    case 'passphrase':
      return { kind: 'passphrase', passphrase: await askNewPassphrase('The passphrase to seal with') };
    case 'none':
      return { kind: 'none' };
  }
}

/** Asks for the passphrase of a private key that is about to be made. */
export async function askKeyPassphrase(): Promise<string> {
  return askNewPassphrase('A passphrase that protects the private key');
}

/** Files that hold usable keys, at least one. */
async function askKeyFiles(): Promise<KeyFile[]> {
  const keys: KeyFile[] = [];
  for (;;) {
    const file = await askText(
      keys.length === 0
        ? 'File with the public key (gpg --armor --export ADDRESS)'
        : 'File with another public key (empty: no more)',
      { check: (typed) => (typed === '' && keys.length === 0 ? 'name a file' : null) },
    );
    if (file === '') return keys;
    try {
      const key = readKeyFile(file);
      await loadRecipients([key]);
      keys.push(key);
    } catch (error) {
      if (!isCoded(error)) throw error;
      await reportMistake(error.hint === null ? error.message : `${error.message}\n${error.hint}`);
    }
  }
}

async function askKeyDestination(): Promise<KeyDestination> {
  return askText('Where to give out the private key: a file in memory, or - (this terminal)', {
    initial: defaultKeyFile,
    check: (typed) => {
      if (typed === '-') return null;
      try {
        requireMemoryPath(typed);
        return null;
      } catch (error) {
        if (isCoded(error)) return error.message;
        throw error;
      }
    },
  });
}
