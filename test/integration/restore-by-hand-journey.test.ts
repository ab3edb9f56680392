import { spawnSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentKey } from '../../receiver/store/agent-key.ts';
import { writeRestoreText } from '../../receiver/restore-text.ts';
import { loadRecipients } from '../../shared/sealing/recipient.ts';
import { Sealer } from '../../shared/sealing/sealer.ts';
import { GpgHome } from '../support/gpg-home.ts';
import { ReceiverDirectory } from '../support/receiver-directory.ts';
import { createTestKey, HeldObjects, SealedBench } from '../support/sealed-bench.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** What a GnuPG user exports, beside a pair that was generated at set-up; either opens every version alone. */
const homes: Record<'generated' | 'ecc' | 'rsa', GpgHome> = {
  generated: new GpgHome(),
  ecc: new GpgHome(),
  rsa: new GpgHome(),
};
const dumps: Buffer[] = [];
let data: string;
let folder: string;
let versions: string[];
let script: string;

/** An agent seals four dumps to three keys; of the receiver there are plain files only, no database and no journal. */
beforeAll(async () => {
  const generated = await createTestKey('owner');
  homes.ecc.generateKey('ecc@example.org', 'ed25519');
  homes.rsa.generateKey('rsa@example.org', 'rsa3072');
  const recipients = [
    generated.recipient,
    ...(await loadRecipients([
      { name: 'ecc', content: homes.ecc.run(['--armor', '--export']) },
      { name: 'rsa', content: homes.rsa.run(['--armor', '--export']) },
    ])),
  ];
  homes.generated.run(
    ['--pinentry-mode', 'loopback', '--passphrase', 'secret', '--import'],
    generated.privateArmored,
  );
  data = temporaryDirectory();
  const agent = await SealedBench.create(temporaryDirectory(), recipients);
  const receiver = new HeldObjects('receiver');
  for (let hour = 0; hour < 4; hour += 1) {
    dumps.push(Buffer.concat([seededBytes('same', 700_000), seededBytes(`hour ${hour}`, 90_000 * hour)]));
    await agent.dump(dumps[hour] ?? Buffer.alloc(0));
    receiver.pull(agent.feed);
  }
  agent.close();
  const { deviceId, certificatePem } = agent.identity;
  const publicKey = createPublicKey(certificatePem).export({ type: 'spki', format: 'der' });
  new AgentKey(deviceId, { directory: path.join(data, deviceId) }).learn(publicKey);
  writeRestoreText(data);
  folder = path.join(data, deviceId, agent.folder);
  for (const name of ['packs', 'versions']) fs.mkdirSync(path.join(folder, name), { recursive: true });
  for (const [name, bytes] of receiver.files) fs.writeFileSync(path.join(folder, name), bytes);
  versions = fs
    .readdirSync(path.join(folder, 'versions'))
    .filter((name) => name.endsWith('.json'))
    .map((name) => path.basename(name, '.json'))
    .sort();
  script = path.join(data, 'restore.py');
  const extract = "sed -n '/^~~~python/,/^~~~$/p' RESTORE.txt | sed '1d;$d' > restore.py";
  expect(fs.readFileSync(path.join(data, 'RESTORE.txt'), 'utf8')).toContain(extract);
  expect(spawnSync('sh', ['-c', extract], { cwd: data }).status).toBe(0);
});

afterAll(() => {
  for (const home of Object.values(homes)) home.remove();
});

function restore(version: string, gpg: string, from = folder): { stderr: string; target: string } {
  const target = path.join(temporaryDirectory(), 'restored');
  const ran = spawnSync('python3', [script, from, version, target], {
    env: { ...process.env, GPG: gpg },
    encoding: 'utf8',
  });
  return { stderr: ran.stderr, target };
}

function passphraseOption(passphrase: string): string {
  const file = path.join(temporaryDirectory(), 'passphrase');
  fs.writeFileSync(file, passphrase);
  return `--pinentry-mode loopback --passphrase-file ${file}`;
}

it.each(['generated', 'ecc', 'rsa'] as const)(
  'rebuilds every version that an agent sealed, from the plain files with the %s key alone',
  (name) => {
    expect(versions).toHaveLength(4);
    const options = name === 'generated' ? ` ${passphraseOption('secret')}` : '';
    for (const [position, version] of versions.entries()) {
      // unlocking the generated key takes gpg long, for each pack anew where its agent is not asked
      if (name === 'generated' && position % 2 === 1) continue;
      const { stderr, target } = restore(version, `gpg --homedir ${homes[name].directory}${options}`);
      expect(stderr).toBe('');
      expect(fs.readdirSync(target)).toEqual(['database.dump']);
      const content = fs.readFileSync(path.join(target, 'database.dump'));
      expect(content.equals(dumps[position] ?? Buffer.alloc(0)), version).toBe(true);
    }
  },
);

it('tells when each version was made, by the command in the text', () => {
  const command = `grep -o '"createdAt":"[^"]*"' *.json | sort -t '"' -k 4`;
  expect(fs.readFileSync(path.join(data, 'RESTORE.txt'), 'utf8')).toContain(command);
  const listed = spawnSync('sh', ['-c', command], { cwd: path.join(folder, 'versions'), encoding: 'utf8' });
  const names = listed.stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split('.json:')[0]);
  expect(names).toEqual(versions);
});

it('rebuilds a folder that was sealed by a passphrase', async () => {
  const sealed = new ReceiverDirectory(temporaryDirectory(), {
    folder: 'secrets',
    sealer: Sealer.toPassphrase('correct horse'),
    blockBytes: 1000,
    packBytes: 5000,
  });
  const content = seededBytes('secrets', 12_000);
  const version = await sealed.addVersion(
    [{ type: 'file', path: '.env.production', mode: 0o600, content }],
    '2026-11-21T08:40:00.000Z',
  );
  const gpg = `gpg --homedir ${homes.ecc.directory} ${passphraseOption('correct horse')}`;
  const { stderr, target } = restore(version, gpg, sealed.folderDirectory);
  expect(stderr).toBe('');
  const file = path.join(target, '.env.production');
  expect(fs.readFileSync(file).equals(content)).toBe(true);
  expect(fs.statSync(file).mode & 0o777).toBe(0o600);
});
