import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runProgram } from '../../shared/io/run-program.ts';
import { decodePack } from '../../shared/sealing/pack.ts';
import { loadRecipients } from '../../shared/sealing/recipient.ts';
import { sealedBytesMax } from '../../shared/sealing/sealed-bytes.ts';
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

it('seals contents of every length, the empty one too, so that gpg and OpenPGP.js read them', async () => {
  const email = 'ecc@example.org';
  const sealer = await Sealer.toRecipients(await loadRecipients([exported(email)]));
  const unsealer = await openKeyUnsealer(gpg.run(['--export-secret-keys', email]), null);
  // around the borders of AES blocks, of packet lengths and of the pieces that are encrypted at once
  const border = fc.constantFrom(0, 16, 191, 8383, 65_536, 131_072, 262_144);
  const anyLength = fc
    .tuple(border, fc.integer({ min: -40, max: 40 }))
    .map(([at, by]) => Math.max(0, at + by));
  await fc.assert(
    fc.asyncProperty(anyLength, fc.boolean(), async (length, withGpg) => {
      const content = randomBytes(length);
      const message = await sealer.sealMessage(content);
      expect((await unsealer.unsealMessage(message, length)).equals(content)).toBe(true);
      if (withGpg) expect(gpg.run(['--decrypt'], message).equals(content)).toBe(true);
    }),
    { examples: [[0, true]], numRuns: 60 },
  );
});

it('seals with AES-256 whatever a key prefers, and gpg finds the integrity good', async () => {
  const unattended = ['--pinentry-mode', 'loopback', '--passphrase', ''];
  gpg.run([
    ...unattended,
    '--default-preference-list',
    'AES CAST5 3DES SHA1 ZLIB',
    '--quick-generate-key',
    'Test <aes@example.org>',
    'default',
    'default',
    'never',
  ]);
  const sealer = await Sealer.toRecipients(await loadRecipients([exported('aes@example.org')]));
  const ran = gpg.try(
    ['--status-fd', '2', '--show-session-key', '--decrypt'],
    await sealer.sealMessage(chunks),
  );
  expect(ran.stdout.equals(chunks)).toBe(true);
  expect(ran.stderr).toMatch(/^gpg: session key: '9:[0-9A-F]{64}'$/m);
  expect(ran.stderr).toContain('[GNUPG:] DECRYPTION_INFO 2 9');
  expect(ran.stderr).toContain('[GNUPG:] GOODMDC');
});

it('seals nothing into more bytes than the spool makes room for', async () => {
  const sealer = await Sealer.toRecipients(
    await loadRecipients([exported('rsa@example.org'), exported('ecc@example.org')]),
  );
  // random bytes do not compress; just above a Padmé length, most is added
  for (const bytes of [1, 255, 65_537, 1_000_000, 2 ** 20 + 1, 2 ** 21 - 2 ** 16 + 1, 4 * 2 ** 20]) {
    const { bytes: sealed } = await sealPack(randomBytes(bytes), sealer);
    expect(sealed.length).toBeLessThanOrEqual(sealedBytesMax(bytes));
  }
});
