import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import type { Extent } from '../../shared/sealing/extents.ts';
import type { ManifestEntry } from '../../shared/sealing/manifest-entry.ts';
import { readManifest } from '../../shared/sealing/manifest-reader.ts';
import { checkMessageFraming } from '../../shared/sealing/message-framing.ts';
import { packName, versionName, versionSignatureName } from '../../shared/sealing/object-name.ts';
import { loadRecipients } from '../../shared/sealing/recipient.ts';
import { restoreByHandText } from '../../shared/sealing/restore-by-hand.ts';
import { unsealRootMessage } from '../../shared/sealing/root-message.ts';
import {
  openKeyUnsealer,
  openPassphraseUnsealer,
  unsealPack,
  type Unsealer,
} from '../../shared/sealing/unsealer.ts';
import { recordHash } from '../../shared/sealing/signed-record.ts';
import { verifyVersionRecord } from '../../shared/sealing/version-record.ts';
import { GpgHome } from '../support/gpg-home.ts';

const fixtures = fileURLToPath(new URL('../fixtures/sealed-v1/', import.meta.url));
const agent = fs.readdirSync(path.join(fixtures, 'data'))[0] ?? '';
const folder = path.join(fixtures, 'data', agent, 'secrets');
const passphrase = 'fixture passphrase';
const epoch = '00000000000000ab';
const read = (name: string): Buffer => fs.readFileSync(path.join(fixtures, name));

const firstDump = Array.from({ length: 400 }, (_, line) => `line ${line} of the first hour\n`).join('');
const dumps = [firstDump, `${firstDump.slice(0, 6000)}${'an insertion'.repeat(100)}${firstDump.slice(6000)}`];

async function gather(extents: readonly Extent<string>[], unsealer: Unsealer): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (const { pack, offset, length } of extents) {
    const sealed = fs.readFileSync(path.join(folder, packName(pack)));
    expect(createHash('sha256').update(sealed).digest('hex')).toBe(pack);
    pieces.push((await unsealPack(sealed, unsealer)).subarray(offset, offset + length));
  }
  return Buffer.concat(pieces);
}

async function readVersion(number: number, unsealer: Unsealer): Promise<Map<string, ManifestEntry>> {
  const version = { number, epoch };
  const bytes = fs.readFileSync(path.join(folder, versionName(version)));
  const signature = fs.readFileSync(path.join(folder, versionSignatureName(version)));
  const pem = read(`data/${agent}/agent.pem`).toString('utf8');
  const record = verifyVersionRecord(bytes, signature, pem, { folder: 'secrets' });
  expect(record.agent).toBe(agent);
  const previous = path.join(folder, versionName({ number: number - 1, epoch }));
  expect(record.previous).toBe(number === 1 ? null : recordHash(fs.readFileSync(previous)));
  for (const [hash, size] of record.packs) {
    const pack = fs.readFileSync(path.join(folder, packName(hash)));
    expect(pack.length).toBe(size);
    expect(checkMessageFraming(pack).keyIds).toEqual(record.recipients);
  }
  const root = await unsealRootMessage(
    fs.readFileSync(path.join(folder, packName(record.root))),
    unsealer,
    record,
  );
  const manifest = await gather(root.manifest.extents, unsealer);
  expect(createHash('sha256').update(manifest).digest('hex')).toBe(root.manifest.sha256);
  const entries = await Array.fromAsync(readManifest([manifest], { folder: 'secrets' }));
  return new Map(entries.map((entry) => [entry.path, entry]));
}

it.each(['owner-secret.asc', '../openpgp-keys/v6-curve25519.secret.asc'])(
  'reads the sealed formats of version 1 with %s',
  async (keyFile) => {
    const unsealer = await openKeyUnsealer(read(keyFile), passphrase);
    for (const [position, dump] of dumps.entries()) {
      const entries = await readVersion(position + 1, unsealer);
      expect([...entries.keys()]).toEqual([
        '',
        '.env.production',
        'dump',
        'odd \xff name',
        'latest',
        'empty',
      ]);
      expect(entries.get('')).toMatchObject({ type: 'directory', mode: 0o750 });
      expect(entries.get('odd \xff name')).toMatchObject({ type: 'file', mode: 0o4711, size: 0 });
      expect(entries.get('latest')).toMatchObject({ type: 'symlink', target: Buffer.from('dump') });
      const entry = entries.get('dump');
      const content = await gather(entry?.type === 'file' ? entry.extents : [], unsealer);
      expect(content.toString('utf8')).toBe(dump);
    }
  },
);

it('reads a pack of passphrase mode and the recipient of version 1', async () => {
  const chunks = await unsealPack(read('passphrase-pack.pgp'), openPassphraseUnsealer(passphrase));
  expect(chunks.toString('utf8')).toBe('sealed with a passphrase\n');
  const [recipient] = await loadRecipients([{ name: 'owner', content: read('owner-public.asc') }]);
  expect(recipient?.userIds).toEqual(['Fixture Owner <owner@example.org>']);
});

it('restores them by hand, asking gpg for the passphrase of the key', () => {
  const gpg = new GpgHome();
  try {
    gpg.run(['--import'], read('owner-secret.asc'));
    const script = path.join(gpg.directory, 'restore.py');
    fs.writeFileSync(script, /^~~~python\n([^]*?)^~~~$/m.exec(restoreByHandText)?.[1] ?? '');
    const passphraseFile = path.join(gpg.directory, 'passphrase');
    fs.writeFileSync(passphraseFile, passphrase);
    const target = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'mk-fixture-')), 'restored');
    const command = `gpg --homedir ${gpg.directory} --batch --pinentry-mode loopback --passphrase-file ${passphraseFile}`;
    const ran = spawnSync('python3', [script, folder, `0000000002-${epoch}`, target], {
      env: { ...process.env, GPG: command },
      encoding: 'utf8',
    });
    expect(ran.stderr).toBe('');
    expect(ran.stdout).toContain(`signed by agent ${agent}`);
    expect(fs.readFileSync(path.join(target, 'dump'), 'utf8')).toBe(dumps[1]);
    expect(fs.statSync(target).mode & 0o7777).toBe(0o750);
    fs.rmSync(path.dirname(target), { recursive: true });
  } finally {
    gpg.remove();
  }
});
