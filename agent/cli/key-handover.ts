import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { canAsk } from '../../shared/cli/prompt.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { requireMemoryPath, writeMemoryFile } from '../../shared/io/memory-file.ts';
import { loadRecipients, type KeyFile } from '../../shared/sealing/recipient.ts';
import { Sealer } from '../../shared/sealing/sealer.ts';

/** Where a private key goes: a new file in memory, or `-`, the terminal. */
export type KeyDestination = string;

/**
 * `forget`: removes the private key from where it was given out, when set-up fails; a terminal keeps it.
 * `fetchAdvice`: how to come by it for the proof, for people.
 */
export type HandedKey = { publicKey: KeyFile; fetchAdvice: string; forget: () => void };

/** Refuses a destination before anything is asked. @throws CodedError USAGE */
export function requireKeyDestination(destination: KeyDestination): void {
  if (destination !== '-') requireMemoryPath(destination);
  else if (!canAsk()) {
    throw new CodedError('USAGE', 'there is no terminal to show the private key on', {
      hint: 'name a new file in memory: --generate-key /dev/shm/private.asc',
    });
  }
}

/**
 * Makes a key pair and gives out its private part, once, protected by the passphrase; it never reaches a disk and is
 * kept nowhere. Resolves when what was given out has opened a message that was sealed to the public part.
 * @throws CodedError USAGE (the destination), KEY_WRONG (what was given out does not work)
 */
export async function handOverNewKey(
  destination: KeyDestination,
  owner: { name: string; passphrase: string },
): Promise<HandedKey> {
  requireKeyDestination(destination);
  const { generateKeyPair } = await import('../../shared/sealing/key-pair.ts');
  const pair = await generateKeyPair({ name: owner.name }, owner.passphrase);
  const publicKey = { name: `the new key ${pair.fingerprint}`, content: pair.publicArmored };
  if (destination === '-') {
    await proveGivenOut(pair.privateArmored, publicKey, owner.passphrase);
    process.stderr.write(
      [
        '',
        'The private key, shown this once and kept nowhere. Copy these lines into a file on another machine:',
        '',
        pair.privateArmored,
      ].join('\n'),
    );
    return { publicKey, fetchAdvice: '', forget: () => {} };
  }
  const file = path.resolve(destination);
  writeMemoryFile(file, pair.privateArmored);
  const forget = (): void => fs.rmSync(file, { force: true });
  try {
    await proveGivenOut(fs.readFileSync(file, 'utf8'), publicKey, owner.passphrase);
  } catch (error) {
    forget();
    throw error;
  }
  const fetchAdvice = [
    '',
    `The private key is in ${file}. Copy it to your own computer, and there run`,
    `  gpg --import ${path.basename(file)}`,
    '',
  ].join('\n');
  return { publicKey, fetchAdvice, forget };
}

async function proveGivenOut(given: string, publicKey: KeyFile, passphrase: string): Promise<void> {
  const secret = randomBytes(32);
  const sealer = await Sealer.toRecipients(await loadRecipients([publicKey]));
  const { openKeyUnsealer } = await import('../../shared/sealing/unsealer.ts');
  const unsealer = await openKeyUnsealer(given, passphrase);
  const opened = await unsealer.unsealMessage(await sealer.sealMessage(secret), secret.length);
  if (!opened.equals(secret)) throw new CodedError('KEY_WRONG', 'the private key that was given out fails');
}

/** What to do with the private key when all is set up, for people. */
export function keyKeepAdvice(destination: KeyDestination): string[] {
  if (destination === '-')
    return ['the private key was shown above, once: keep it and its passphrase in two places'];
  const file = path.resolve(destination);
  return [
    `private key: ${file}, in memory, gone when this server restarts`,
    `  keep it and its passphrase in two other places, then here: rm ${file}`,
  ];
}
