import fs from 'node:fs';
import path from 'node:path';
import { commandUnsealers, type UnsealerSource } from '../../agent/restore/command-unsealers.ts';

/** Opens with that private key, by way of files in the directory, as `restore --key` does. */
export function unsealersOf(
  { privateArmored }: { privateArmored: string },
  directory: string,
  passphrase = 'secret',
): UnsealerSource {
  const [key, keyPassphrase] = [path.join(directory, 'used.asc'), path.join(directory, 'used.txt')];
  fs.writeFileSync(key, privateArmored);
  fs.writeFileSync(keyPassphrase, `${passphrase}\n`);
  return commandUnsealers({ key, keyPassphrase, passphrase: null }, null);
}
