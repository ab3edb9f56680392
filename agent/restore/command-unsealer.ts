import fs from 'node:fs';
import { CodedError, isCoded, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { runProgram } from '../../shared/io/run-program.ts';
import {
  openGpgUnsealer,
  openKeyUnsealer,
  openPassphraseUnsealer,
  type Unsealer,
} from '../../shared/sealing/unsealer.ts';
import type { OpenUnsealer } from './open-sealed-folder.ts';

export type UnsealerFiles = {
  /** A private key; null: gpg and its agent are asked. */
  key: string | null;
  /** The passphrase that protects the private key. */
  keyPassphrase: string | null;
  /** The passphrase of folders that are sealed by one. */
  passphrase: string | null;
};

/**
 * Opens what the options of `restore` name, each once. `askSecret`: asks the person at the terminal, null where there is
 * none.
 */
export function commandUnsealer(
  files: UnsealerFiles,
  askSecret: ((question: string) => Promise<string>) | null,
): OpenUnsealer {
  const opened = new Map<string, Promise<Unsealer>>();
  const open = async (sealedTo: 'keys' | 'passphrase'): Promise<Unsealer> => {
    if (sealedTo === 'passphrase') {
      if (files.passphrase !== null) return openPassphraseUnsealer(readSecret(files.passphrase));
      if (askSecret === null)
        throw noSecret('the folder is sealed by a passphrase', '--passphrase-file FILE');
      return openPassphraseUnsealer(await askSecret('Passphrase of the sealed folder: '));
    }
    if (files.key === null) return openGpgUnsealer(runProgram);
    const key = readFile(files.key);
    if (files.keyPassphrase !== null) return openKeyUnsealer(key, readSecret(files.keyPassphrase));
    try {
      return await openKeyUnsealer(key, null);
    } catch (error) {
      if (!isCoded(error, 'KEY_WRONG')) throw error;
      if (askSecret === null) throw noSecret(error.message, '--key-passphrase-file FILE');
      return openKeyUnsealer(key, await askSecret('Passphrase of the private key: '));
    }
  };
  return async (sealedTo) => {
    const known = opened.get(sealedTo) ?? open(sealedTo);
    opened.set(sealedTo, known);
    return known;
  };
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
