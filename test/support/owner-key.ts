import fs from 'node:fs';
import path from 'node:path';
import { decryptKey, readPrivateKey } from 'openpgp';
import { GpgHome } from './gpg-home.ts';
import type { Needle } from './leak-search.ts';

/** The key of a person who can read sealed folders, made by the installed GnuPG, as files that commands take. */
export type OwnerKey = {
  gpg: GpgHome;
  passphrase: string;
  /** The public key, armored. */
  publicFile: string;
  /** The private key, armored, protected by the passphrase. */
  privateFile: string;
  passphraseFile: string;
  remove(): void;
};

/** Makes the key, and its files in the directory, which must be far from any home of a program. */
export function createOwnerKey(directory: string, algorithm: 'rsa3072' | 'ed25519' = 'ed25519'): OwnerKey {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const gpg = new GpgHome();
  const passphrase = 'correct horse battery staple é';
  gpg.generateKey('owner@example.org', algorithm, 'never', passphrase);
  const file = (name: string, content: Buffer | string): string => {
    const written = path.join(directory, name);
    fs.writeFileSync(written, content, { mode: 0o600 });
    return written;
  };
  const loopback = ['--pinentry-mode', 'loopback', '--passphrase', passphrase];
  return {
    gpg,
    passphrase,
    publicFile: file('admin.asc', gpg.run(['--armor', '--export', 'owner@example.org'])),
    privateFile: file(
      'private.asc',
      gpg.run([...loopback, '--armor', '--export-secret-keys', 'owner@example.org']),
    ),
    passphraseFile: file('passphrase', `${passphrase}\n`),
    remove: () => gpg.remove(),
  };
}

/** What must be nowhere but with the owner: the passphrase, and the secret numbers of the key and its subkeys. */
export async function ownerSecrets(key: OwnerKey): Promise<Needle[]> {
  const locked = await readPrivateKey({ armoredKey: fs.readFileSync(key.privateFile, 'utf8') });
  const opened = await decryptKey({ privateKey: locked, passphrase: key.passphrase });
  const needles: Needle[] = [{ what: 'the passphrase', bytes: Buffer.from(key.passphrase) }];
  for (const { keyPacket } of opened.getKeys()) {
    const secret = 'privateParams' in keyPacket ? keyPacket.privateParams : null;
    for (const [name, value] of Object.entries(secret ?? {})) {
      if (!(value instanceof Uint8Array)) continue;
      for (const bytes of [Buffer.from(value), Buffer.from(value.toReversed())]) {
        needles.push({ what: `the secret number ${name}`, bytes });
      }
    }
  }
  return needles;
}
