import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import * as openpgp from 'openpgp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram } from '../../shared/io/run-program.ts';
import { checkKeyAnswer, createKeyChallenge } from '../../shared/sealing/key-challenge.ts';
import { generateKeyPair } from '../../shared/sealing/key-pair.ts';
import { checkMessageFraming } from '../../shared/sealing/message-framing.ts';
import { decodePack } from '../../shared/sealing/pack.ts';
import { loadRecipients, type KeyFile } from '../../shared/sealing/recipient.ts';
import { Sealer, sealPack } from '../../shared/sealing/sealer.ts';
import {
  openGpgUnsealer,
  openKeyUnsealer,
  openPassphraseUnsealer,
  unsealPack,
} from '../../shared/sealing/unsealer.ts';
import { GpgHome } from '../support/gpg-home.ts';

const dayMs = 86_400_000;
const fixtures = new URL('../fixtures/openpgp-keys/', import.meta.url);
const fixture = (name: string): KeyFile => ({ name, content: fs.readFileSync(new URL(name, fixtures)) });
const chunks = Buffer.concat([Buffer.from('mastodon '.repeat(2000)), randomBytes(1000)]);

let gpg: GpgHome;
let rsa: KeyFile;
let ecc: KeyFile;

beforeAll(() => {
  gpg = new GpgHome();
  gpg.generateKey('rsa@example.org', 'rsa3072');
  gpg.generateKey('ecc@example.org', 'ed25519');
  rsa = exported('rsa@example.org');
  ecc = exported('ecc@example.org');
});

afterAll(() => {
  gpg.remove();
});

function exported(email: string, command = '--export'): KeyFile {
  return { name: `${email}.asc`, content: gpg.run(['--armor', command, email]) };
}

function failing(code: string, ...parts: string[]): unknown {
  const message = expect.stringMatching(new RegExp(parts.join('.*'), 's')) as string;
  return expect.objectContaining({ code, message });
}

describe('recipients', () => {
  it('are read from keys of gpg 2.2, armored, binary and several in a file', async () => {
    const [first] = await loadRecipients([rsa]);
    expect(first).toMatchObject({
      fingerprint: gpg.fingerprint('rsa@example.org'),
      userIds: ['Test <rsa@example.org>'],
      expiresAt: null,
      readableByGpg: true,
    });
    const listed = gpg.run(['--with-colons', '--list-keys', 'rsa@example.org']).toString('utf8');
    expect(listed).toContain(`sub:u:3072:1:${first?.encryptionKeyId ?? ''}:`);

    const fingerprints = ['rsa@example.org', 'ecc@example.org'].map((email) => gpg.fingerprint(email));
    const binary = { name: 'both.gpg', content: gpg.run(['--export', ...fingerprints]) };
    const armored = { name: 'both.asc', content: gpg.run(['--armor', '--export', ...fingerprints]) };
    const joined = { name: 'cat.asc', content: `${String(rsa.content)}\n${String(ecc.content)}` };
    for (const file of [binary, armored, joined]) {
      // all keys of the file, and a key that comes again only once
      for (const files of [[file], [file, ecc]]) {
        const loaded = await loadRecipients(files);
        expect(loaded.map(({ fingerprint }) => fingerprint)).toEqual(fingerprints);
      }
    }
  });

  it('are known not to be readable by gpg 2.2 where the key is of version 6, whatever its algorithm', async () => {
    const { publicKey } = await openpgp.generateKey({
      type: 'rsa',
      rsaBits: 2048,
      userIDs: [{ name: 'Six' }],
      config: { v6Keys: true },
    });
    const [recipient] = await loadRecipients([{ name: 'six', content: publicKey }]);
    expect(recipient?.readableByGpg).toBe(false);
    expect(gpg.try(['--import'], publicKey).status).not.toBe(0);
  });

  it('say when they expire, the subkey too', async () => {
    const fingerprint = gpg.generateKey('short@example.org', 'ed25519', '2y');
    gpg.run([
      '--pinentry-mode',
      'loopback',
      '--passphrase',
      '',
      '--quick-set-expire',
      fingerprint,
      '1y',
      '*',
    ]);
    const file = exported('short@example.org');
    const [recipient] = await loadRecipients([file]);
    const inDays = ((recipient?.expiresAt ?? 0) - Date.now()) / dayMs;
    expect(inDays).toBeGreaterThan(360);
    expect(inDays).toBeLessThan(370);
    // the subkey alone has expired after a year, later the whole key
    await expect(loadRecipients([file], Date.now() + 400 * dayMs)).rejects.toThrowError(
      failing('KEY_UNUSABLE', fingerprint, 'cannot encrypt: its subkey [0-9A-F]{16} expired on 20'),
    );
    await expect(loadRecipients([file], Date.now() + 800 * dayMs)).rejects.toThrowError(
      failing('KEY_UNUSABLE', `${fingerprint} in short@example.org.asc expired on 20`),
    );
  });

  it('are still sealed to after they expired, beside keys that are younger', async () => {
    const old = await openpgp.generateKey({
      type: 'ecc',
      curve: 'curve25519Legacy',
      userIDs: [{ name: 'Old', email: 'old@example.org' }],
      date: new Date('2025-01-01'),
      keyExpirationTime: dayMs / 1000,
    });
    const file = { name: 'old', content: old.publicKey };
    await expect(loadRecipients([file])).rejects.toThrowError(
      failing('KEY_UNUSABLE', 'expired on 2025-01-02'),
    );
    const [expired] = await loadRecipients([file], Date.parse('2025-01-01T12:00:00Z'));
    const [young] = await loadRecipients([ecc]);
    const recipients = [expired, young].filter((recipient) => recipient !== undefined);
    expect(recipients.length).toBe(2);
    const { bytes } = await sealPack(chunks, await Sealer.toRecipients(recipients));
    expect((await unsealPack(bytes, await openKeyUnsealer(old.privateKey, null))).equals(chunks)).toBe(true);
    expect(decodePack(gpg.run(['--decrypt'], bytes)).equals(chunks)).toBe(true);
  });

  it('are refused when revoked', async () => {
    const fingerprint = gpg.generateKey('revoked@example.org', 'ed25519');
    const revocation = fs.readFileSync(
      path.join(gpg.directory, 'openpgp-revocs.d', `${fingerprint}.rev`),
      'utf8',
    );
    gpg.run(['--import'], revocation.replace(':-----BEGIN', '-----BEGIN'));
    await expect(loadRecipients([exported('revoked@example.org')])).rejects.toThrowError(
      failing('KEY_UNUSABLE', `key ${fingerprint} in revoked@example.org.asc is revoked`),
    );
  });

  it('are refused when they can only sign', async () => {
    const unattended = ['--pinentry-mode', 'loopback', '--passphrase', ''];
    gpg.run([...unattended, '--quick-generate-key', 'Test <sign@example.org>', 'ed25519', 'sign', 'never']);
    await expect(loadRecipients([exported('sign@example.org')])).rejects.toThrowError(
      failing('KEY_UNUSABLE', gpg.fingerprint('sign@example.org'), 'cannot encrypt'),
    );
  });

  it('are refused when the key is the secret one, armored or binary', async () => {
    const secret = exported('ecc@example.org', '--export-secret-keys');
    await expect(loadRecipients([secret])).rejects.toThrowError(failing('KEY_INVALID', 'secret key'));
    const binary = { name: 'k.gpg', content: gpg.run(['--export-secret-keys', 'ecc@example.org']) };
    await expect(loadRecipients([binary])).rejects.toThrowError(
      failing('KEY_INVALID', 'the secret key', gpg.fingerprint('ecc@example.org')),
    );
    const cut = { name: 'cut.asc', content: String(secret.content).split('\n').toSpliced(3, 2).join('\n') };
    await expect(loadRecipients([cut])).rejects.toThrowError(failing('KEY_INVALID', 'secret key'));
    const behind = { name: 'both.asc', content: `${String(rsa.content)}${String(secret.content)}` };
    await expect(loadRecipients([behind])).rejects.toThrowError(failing('KEY_INVALID', 'secret key'));
  });

  it('are refused when a key among several cannot be read, so that none gets lost silently', async () => {
    const bytes = gpg.run(['--export', 'ecc@example.org']);
    const unknown = Buffer.from(bytes);
    // the version of the primary key, behind a header of two bytes
    expect(unknown[2]).toBe(4);
    unknown[2] = 5;
    await expect(
      loadRecipients([{ name: 'two.gpg', content: Buffer.concat([bytes, unknown]) }]),
    ).rejects.toThrowError(failing('KEY_INVALID', 'of 2 keys in it only 1 can be read'));
  });

  it('are refused when the file holds anything else', async () => {
    const message = gpg.run(
      ['--armor', '--trust-model', 'always', '-r', 'rsa@example.org', '--encrypt'],
      'x',
    );
    const cut = String(rsa.content).split('\n').toSpliced(10, 20).join('\n');
    const files: [Buffer | string, string][] = [
      ['', 'no OpenPGP public key'],
      ['no key at all\n', 'no OpenPGP public key'],
      [randomBytes(500), 'no OpenPGP public key'],
      [Buffer.alloc(2_000_000), 'too large'],
      [message, 'a PGP message, not a public key'],
      [cut, 'no OpenPGP public key'],
      [String(rsa.content).slice(0, 400), 'no OpenPGP public key'],
    ];
    for (const [content, words] of files) {
      await expect(loadRecipients([{ name: 'given.asc', content }])).rejects.toThrowError(
        failing('KEY_INVALID', 'given.asc', words),
      );
    }
    await expect(loadRecipients([])).rejects.toThrowError(failing('KEY_INVALID', 'no recipient'));
  });
});

describe('messages', () => {
  const preferring = [
    'gpg24-style.public.asc',
    'v4-x25519-seipdv2.public.asc',
    'v6-curve25519.public.asc',
  ] as const;

  it.each(preferring)('have the same form whatever %s prefers, and its owner reads them', async (name) => {
    const recipients = await loadRecipients([fixture(name)]);
    const { bytes } = await sealPack(chunks, await Sealer.toRecipients(recipients));
    // PKESK v3 and SEIPDv1, or this throws
    expect(checkMessageFraming(bytes).keyIds).toEqual([recipients[0]?.encryptionKeyId]);
    const secret = fixture(name.replace('public', 'secret')).content;
    expect((await unsealPack(bytes, await openKeyUnsealer(secret, null))).equals(chunks)).toBe(true);
    const sessionKeys = await openpgp.decryptSessionKeys({
      message: await openpgp.readMessage({ binaryMessage: bytes }),
      decryptionKeys: await openpgp.readPrivateKey({ armoredKey: String(secret) }),
    });
    expect(sessionKeys.map(({ algorithm }) => algorithm)).toEqual(['aes256']);
  });

  it('are read by gpg 2.2 with a key of the gpg 2.4 kind', async () => {
    gpg.run(['--import'], fixture('gpg24-style.secret.asc').content);
    const [recipient, ...others] = await loadRecipients([fixture('gpg24-style.public.asc')]);
    expect(others).toEqual([]);
    expect(recipient?.readableByGpg).toBe(true);
    const { bytes } = await sealPack(
      chunks,
      await Sealer.toRecipients(recipient === undefined ? [] : [recipient]),
    );
    expect(decodePack(gpg.run(['--decrypt'], bytes)).equals(chunks)).toBe(true);
  });

  it('are read by every one of several recipients, by gpg 2.2 too where keys that it does not know are among them', async () => {
    const files = [fixture('v6-curve25519.public.asc'), ecc, fixture('v4-x25519-seipdv2.public.asc'), rsa];
    const recipients = await loadRecipients(files);
    expect(recipients.map(({ readableByGpg }) => readableByGpg)).toEqual([false, true, false, true]);
    const sealer = await Sealer.toRecipients(recipients);
    const { bytes } = await sealPack(chunks, sealer);
    expect(checkMessageFraming(bytes).keyIds).toEqual(sealer.recipientKeyIds);
    for (const name of ['v6-curve25519.secret.asc', 'v4-x25519-seipdv2.secret.asc']) {
      const unsealer = await openKeyUnsealer(fixture(name).content, null);
      expect((await unsealPack(bytes, unsealer)).equals(chunks)).toBe(true);
    }
    for (const email of ['rsa@example.org', 'ecc@example.org']) {
      const alone = new GpgHome();
      try {
        alone.run(['--import'], gpg.run(['--export-secret-keys', email]));
        expect(decodePack(alone.run(['--decrypt'], bytes)).equals(chunks)).toBe(true);
      } finally {
        alone.remove();
      }
    }
  });

  it('hold one literal packet: binary, without name, date and compression, as gpg lists it', async () => {
    const { bytes } = await sealPack(chunks, await Sealer.toRecipients(await loadRecipients([rsa])));
    const listed = gpg.run(['--list-packets', '--verbose'], bytes).toString('utf8');
    expect(listed).toMatch(/^:pubkey enc packet: version 3, algo 1/m);
    expect(listed).toMatch(/:encrypted data packet:\n\s+length: \d+\n\s+mdc_method: 2/);
    expect(listed).toMatch(/:literal data packet:\n\s+mode b \(62\), created 0, name="",/);
    expect(listed).not.toContain('compressed packet');
    const passphrase = (await sealPack(chunks, Sealer.toPassphrase('correct horse'))).bytes;
    const symmetric = gpg
      .run(
        ['--pinentry-mode', 'loopback', '--passphrase', 'correct horse', '--list-packets', '--verbose'],
        passphrase,
      )
      .toString('utf8');
    expect(symmetric).toMatch(
      /^:symkey enc packet: version 4, cipher 9, aead 0,s2k 3, hash 8, seskey 256 bits/m,
    );
  });

  it('never share a session key or a prefix', async () => {
    const sealer = await Sealer.toRecipients(await loadRecipients([ecc]));
    const unsealed = new Set<string>();
    const secret = await openpgp.readPrivateKey({
      armoredKey: String(exported('ecc@example.org', '--export-secret-keys').content),
    });
    for (let count = 0; count < 5; count += 1) {
      const message = await openpgp.readMessage({ binaryMessage: await sealer.sealMessage(chunks) });
      const [key] = await openpgp.decryptSessionKeys({ message, decryptionKeys: secret });
      unsealed.add(Buffer.from(key?.data ?? []).toString('hex'));
    }
    expect(unsealed.size).toBe(5);
  });
});

describe('unsealing', () => {
  it('tells a wrong key and a wrong passphrase from damage', async () => {
    const { bytes } = await sealPack(chunks, await Sealer.toRecipients(await loadRecipients([ecc])));
    const wrong = await openKeyUnsealer(gpg.run(['--export-secret-keys', 'rsa@example.org']), null);
    await expect(unsealPack(bytes, wrong)).rejects.toThrowError(failing('KEY_WRONG'));
    await expect(unsealPack(bytes, openPassphraseUnsealer('x'))).rejects.toThrowError(failing('KEY_WRONG'));
    const stranger = new GpgHome();
    try {
      const throughGpg = openGpgUnsealer(runProgram, { args: ['--homedir', stranger.directory] });
      await expect(unsealPack(bytes, throughGpg)).rejects.toThrowError(failing('KEY_WRONG'));
    } finally {
      stranger.remove();
    }
    const absent = openGpgUnsealer(runProgram, { command: '/nonexistent/gpg' });
    await expect(unsealPack(bytes, absent)).rejects.toThrowError(failing('KEY_WRONG', 'cannot be started'));
    const sealed = (await sealPack(chunks, Sealer.toPassphrase('correct horse'))).bytes;
    await expect(unsealPack(sealed, openPassphraseUnsealer('wrong'))).rejects.toThrowError(
      expect.objectContaining({ code: expect.stringMatching(/^(KEY_WRONG|PACK_CORRUPT)$/) as string }),
    );
  });

  it('answers every flipped bit with an error', async () => {
    const { bytes } = await sealPack(chunks, await Sealer.toRecipients(await loadRecipients([ecc])));
    const unsealer = await openKeyUnsealer(gpg.run(['--export-secret-keys', 'ecc@example.org']), null);
    const throughGpg = openGpgUnsealer(runProgram, { args: ['--homedir', gpg.directory] });
    const coded: unknown = expect.objectContaining({
      code: expect.stringMatching(/^(KEY_WRONG|PACK_CORRUPT)$/) as string,
    });
    for (let at = 0; at < bytes.length; at += at < 120 ? 1 : 97) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      await expect(unsealPack(changed, unsealer)).rejects.toThrowError(coded);
      if (at % 10 === 0) await expect(unsealPack(changed, throughGpg)).rejects.toThrowError(coded);
    }
    await expect(unsealPack(bytes.subarray(0, -1), unsealer)).rejects.toThrowError(coded);
    await expect(unsealPack(Buffer.concat([bytes, bytes]), unsealer)).rejects.toThrowError(coded);
  });

  it('refuses a message that holds more than allowed', async () => {
    const sealed = await Sealer.toPassphrase('correct horse').sealMessage(Buffer.alloc(2000));
    const unsealer = openPassphraseUnsealer('correct horse');
    expect((await unsealer.unsealMessage(sealed, 2000)).length).toBe(2000);
    await expect(unsealer.unsealMessage(sealed, 1999)).rejects.toThrowError(failing('PACK_CORRUPT'));
    const compressed = gpg.run(
      ['--trust-model', 'always', '-r', 'ecc@example.org', '--encrypt'],
      Buffer.alloc(1_000_000),
    );
    const withKey = await openKeyUnsealer(gpg.run(['--export-secret-keys', 'ecc@example.org']), null);
    await expect(withKey.unsealMessage(compressed, 10_000)).rejects.toThrowError(failing('PACK_CORRUPT'));
    const throughGpg = openGpgUnsealer(runProgram, { args: ['--homedir', gpg.directory] });
    await expect(throughGpg.unsealMessage(compressed, 10_000)).rejects.toThrowError(failing('PACK_CORRUPT'));
  });

  it('says which private key lacks its passphrase', async () => {
    const pair = await generateKeyPair({ name: 'Owner', email: 'owner@example.org' }, 'secret words');
    await expect(openKeyUnsealer(pair.privateArmored, null)).rejects.toThrowError(
      failing('KEY_WRONG', pair.fingerprint, 'protected by a passphrase'),
    );
    await expect(openKeyUnsealer(pair.privateArmored, 'other')).rejects.toThrowError(
      failing('KEY_WRONG', 'does not open', pair.fingerprint),
    );
    await expect(openKeyUnsealer(pair.publicArmored, null)).rejects.toThrowError(
      failing('KEY_INVALID', 'public key'),
    );
    await expect(openKeyUnsealer('nothing', null)).rejects.toThrowError(failing('KEY_INVALID', 'no OpenPGP'));
  });

  it('works with subkeys exported without their primary key', async () => {
    const { bytes } = await sealPack(chunks, await Sealer.toRecipients(await loadRecipients([ecc])));
    const subkeys = gpg.run(['--export-secret-subkeys', 'ecc@example.org']);
    expect((await unsealPack(bytes, await openKeyUnsealer(subkeys, null))).equals(chunks)).toBe(true);
    expect((await unsealPack(bytes, await openKeyUnsealer(subkeys, 'needless'))).equals(chunks)).toBe(true);
  });
});

describe('a generated key pair', () => {
  it('is imported by gpg 2.2, which decrypts with its passphrase', async () => {
    const pair = await generateKeyPair({ name: 'Owner', email: 'generated@example.org' }, 'secret words');
    const [recipient] = await loadRecipients([{ name: 'generated', content: pair.publicArmored }]);
    expect(recipient).toMatchObject({ fingerprint: pair.fingerprint, expiresAt: null, readableByGpg: true });
    const { bytes } = await sealPack(
      chunks,
      await Sealer.toRecipients(recipient === undefined ? [] : [recipient]),
    );
    const home = new GpgHome();
    try {
      home.run(['--import'], pair.privateArmored);
      expect(home.fingerprint('generated@example.org')).toBe(pair.fingerprint);
      const content = home.run(
        ['--pinentry-mode', 'loopback', '--passphrase', 'secret words', '--decrypt'],
        bytes,
      );
      expect(decodePack(content).equals(chunks)).toBe(true);
    } finally {
      home.remove();
    }
    const unsealer = await openKeyUnsealer(pair.privateArmored, 'secret words');
    expect((await unsealPack(bytes, unsealer)).equals(chunks)).toBe(true);
  });

  it('can be proved with a challenge that gpg answers', async () => {
    const challenge = await createKeyChallenge(await Sealer.toRecipients(await loadRecipients([ecc])));
    expect(challenge.message).toMatch(/^-----BEGIN PGP MESSAGE-----/);
    expect(challenge.message).not.toContain(challenge.answer);
    const printed = gpg.run(['--decrypt'], challenge.message).toString('utf8');
    expect(checkKeyAnswer(challenge, printed)).toBe(true);
    expect(checkKeyAnswer(challenge, ` ${printed.toLowerCase().replaceAll('-', ' ')} `)).toBe(true);
    expect(checkKeyAnswer(challenge, printed.slice(1))).toBe(false);
    expect(checkKeyAnswer(challenge, '')).toBe(false);
  });
});
