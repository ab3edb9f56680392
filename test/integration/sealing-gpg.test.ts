import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runProgram } from '../../shared/io/run-program.ts';
import { decodePack } from '../../shared/sealing/pack.ts';
import { loadRecipients } from '../../shared/sealing/recipient.ts';
import { Sealer, sealPack } from '../../shared/sealing/sealer.ts';
import {
  openGpgUnsealer,
  openKeyUnsealer,
  openPassphraseUnsealer,
  unsealPack,
} from '../../shared/sealing/unsealer.ts';
import { GpgHome } from '../support/gpg-home.ts';

let gpg: GpgHome;

beforeAll(() => {
  gpg = new GpgHome();
  gpg.generateKey('rsa@example.org', 'rsa3072');
  gpg.generateKey('ecc@example.org', 'ed25519');
});

afterAll(() => {
  gpg.remove();
});

const chunks = Buffer.concat([Buffer.from('mastodon '.repeat(20_000)), randomBytes(100_000)]);
const exported = (email: string) => ({
  name: `${email}.asc`,
  content: gpg.run(['--armor', '--export', email]),
});

it.each(['rsa@example.org', 'ecc@example.org'])(
  'seals to a gpg 2.2 key so that gpg and zstd print the chunks (%s)',
  async (email) => {
    const recipients = await loadRecipients([exported(email)]);
    const pack = await sealPack(chunks, await Sealer.toRecipients(recipients));
    const content = gpg.run(['--decrypt'], pack.bytes);
    expect(execFileSync('zstd', ['-d'], { input: content, maxBuffer: 1 << 26 }).equals(chunks)).toBe(true);
    expect(decodePack(content).equals(chunks)).toBe(true);

    const key = gpg.run(['--export-secret-keys', email]);
    expect((await unsealPack(pack.bytes, await openKeyUnsealer(key, null))).equals(chunks)).toBe(true);
    const throughGpg = openGpgUnsealer(runProgram, { args: ['--homedir', gpg.directory] });
    expect((await unsealPack(pack.bytes, throughGpg)).equals(chunks)).toBe(true);
  },
);

it('seals to a passphrase so that gpg reads it', async () => {
  const pack = await sealPack(chunks, Sealer.toPassphrase('correct horse'));
  const content = gpg.run(
    ['--pinentry-mode', 'loopback', '--passphrase', 'correct horse', '--decrypt'],
    pack.bytes,
  );
  expect(decodePack(content).equals(chunks)).toBe(true);
  expect((await unsealPack(pack.bytes, openPassphraseUnsealer('correct horse'))).equals(chunks)).toBe(true);
});
