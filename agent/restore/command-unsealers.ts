import fs from 'node:fs';
import { CodedError, isCoded, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { UnsealThread } from './unseal-thread.ts';

export type UnsealerFiles = {
  /** A private key; null: gpg and its agent are asked. */
  key: string | null;
  /** The passphrase that protects the private key. */
  keyPassphrase: string | null;
  /** The passphrase of folders that are sealed by one. */
  passphrase: string | null;
};

/** What opens the folders of one restore. */
export type UnsealerSource = {
  /**
   * The thread that opens what is sealed to keys, or by a passphrase: the same one each time.
   * @throws CodedError KEY_INVALID, KEY_WRONG, USAGE
   */
  open(sealedTo: 'keys' | 'passphrase'): Promise<UnsealThread>;
  /** Ends the threads. */
  close(): Promise<void>;
};

type AskSecret = (question: string) => Promise<string>;

/**
 * Opens with what the options of `restore` name, each read once. `askSecret`: asks the person at the terminal, null where
 * there is none.
 */
export function commandUnsealers(files: UnsealerFiles, askSecret: AskSecret | null): UnsealerSource {
  const opened = new Map<string, Promise<UnsealThread>>();
  const threads: UnsealThread[] = [];
  const begin = async (sealedTo: 'keys' | 'passphrase'): Promise<UnsealThread> => {
    const thread = new UnsealThread();
    threads.push(thread);
    if (sealedTo === 'passphrase') await usePassphrase(thread, files.passphrase, askSecret);
    else if (files.key === null) await thread.use({ kind: 'gpg' });
    else await useKey(thread, readFile(files.key), files.keyPassphrase, askSecret);
    return thread;
  };
  return {
    open: async (sealedTo) => {
      const known = opened.get(sealedTo) ?? begin(sealedTo);
      opened.set(sealedTo, known);
      return known;
    },
    close: async () => {
      await Promise.all(threads.map(async (thread) => thread.close()));
    },
  };
}

async function usePassphrase(
  thread: UnsealThread,
  file: string | null,
  askSecret: AskSecret | null,
): Promise<void> {
  if (file !== null) {
    await thread.use({ kind: 'passphrase', passphrase: readSecret(file) });
    return;
  }
  if (askSecret === null) throw noSecret('the folder is sealed by a passphrase', '--passphrase-file FILE');
  await thread.use({ kind: 'passphrase', passphrase: await askSecret('Passphrase of the sealed folder: ') });
}

async function useKey(
  thread: UnsealThread,
  keyFile: Buffer,
  passphraseFile: string | null,
  askSecret: AskSecret | null,
): Promise<void> {
  const passphrase = passphraseFile === null ? null : readSecret(passphraseFile);
  try {
    await thread.use({ kind: 'key', keyFile, passphrase });
  } catch (error) {
    if (passphrase !== null || !isCoded(error, 'KEY_WRONG')) throw error;
    if (askSecret === null) throw noSecret(error.message, '--key-passphrase-file FILE');
    const asked = await askSecret('Passphrase of the private key: ');
    await thread.use({ kind: 'key', keyFile, passphrase: asked });
  }
}

function noSecret(why: string, option: string): CodedError {
  return new CodedError('KEY_WRONG', why, { hint: `add ${option}` });
}

/** The first line, without its end. */
function readSecret(file: string): string {
  return readFile(file)
    .toString('utf8')
    .replace(/\r?\n[^]*$/, '');
}

function readFile(file: string): Buffer {
  try {
    return fs.readFileSync(file);
  } catch (cause) {
    throw new CodedError('USAGE', `${file} cannot be read: ${systemErrorCode(cause) ?? String(cause)}`, {
      cause,
    });
  }
}
