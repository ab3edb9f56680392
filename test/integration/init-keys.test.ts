import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { loadRecipients } from '../../shared/sealing/recipient.ts';
import { sealPack, Sealer } from '../../shared/sealing/sealer.ts';
import { decodePack } from '../../shared/sealing/pack.ts';
import { openKeyUnsealer, unsealPack } from '../../shared/sealing/unsealer.ts';
import { GpgHome } from '../support/gpg-home.ts';
import { runCommand, type CommandResult } from '../support/program.ts';
import { diskDirectory, memoryDirectory } from '../support/temporary-directory.ts';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/openpgp-keys/${name}`, import.meta.url));

let gpg: GpgHome;
let directory: string;
let home: string;

beforeAll(() => {
  gpg = new GpgHome();
  gpg.generateKey('rsa@example.org', 'rsa3072');
  gpg.generateKey('ecc@example.org', 'ed25519');
});

afterAll(() => {
  gpg.remove();
});

beforeEach(() => {
  directory = diskDirectory();
  home = path.join(directory, 'home');
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true, force: true });
});

const at = (name: string): string => path.join(directory, name);

async function agent(...args: string[]): Promise<CommandResult> {
  return runCommand('agent', ['--home', home, ...args]);
}

async function must(...args: string[]): Promise<string> {
  const result = await agent(...args);
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return result.stdout;
}

function exported(email: string): string {
  const file = at(`${email}.asc`);
  fs.writeFileSync(file, gpg.run(['--armor', '--export', email]));
  return file;
}

type Listed = { recipients: { fingerprint: string }[]; unusableKeys: string[] };

function written(name: string, content: string): string {
  fs.writeFileSync(at(name), content);
  return at(name);
}

describe('init with public keys', () => {
  it('takes keys of gpg 2.2, 2.4 and OpenPGP v6, RSA and ECC, and every owner can read', async () => {
    const files = [
      exported('rsa@example.org'),
      exported('ecc@example.org'),
      fixture('gpg24-style.public.asc'),
      fixture('v6-curve25519.public.asc'),
    ];
    const made = await must('init', '--yes', ...files.flatMap((file) => ['--recipient', file]));
    expect(made).toMatch(/warning: GnuPG 2.2 cannot use key [0-9A-F]{64} \(OpenPGP v6/);
    expect(made).not.toContain('one recipient only');
    const kept = fs
      .readdirSync(path.join(home, 'recipients'))
      .map((name) => path.join(home, 'recipients', name));
    expect(kept).toHaveLength(4);
    const recipients = await loadRecipients(kept.map((name) => ({ name, content: fs.readFileSync(name) })));
    const { bytes } = await sealPack(Buffer.from('a dump'), await Sealer.toRecipients(recipients));
    for (const email of ['rsa@example.org', 'ecc@example.org']) {
      const alone = new GpgHome();
      onTestFinished(() => alone.remove());
      alone.run(['--import'], gpg.run(['--export-secret-keys', email]));
      expect(decodePack(alone.run(['--decrypt'], bytes)).toString()).toBe('a dump');
    }
    for (const name of ['gpg24-style.secret.asc', 'v6-curve25519.secret.asc']) {
      const unsealer = await openKeyUnsealer(fs.readFileSync(fixture(name)), null);
      expect((await unsealPack(bytes, unsealer)).toString()).toBe('a dump');
    }
  });

  it('shows the good keys, on the recovery sheet too, where others cannot be used, names those, and ends with 1', async () => {
    await must('init', '--yes', '--recipient', exported('ecc@example.org'));
    const kept = path.join(home, 'recipients');
    fs.writeFileSync(path.join(kept, 'zz-garbage.asc'), 'garbage');
    fs.mkdirSync(path.join(kept, 'zz-odd.asc'));
    const fingerprint = gpg.fingerprint('ecc@example.org');
    const shown = async (...command: string[]): Promise<CommandResult> => {
      const result = await agent(...command);
      expect(result).toMatchObject({ code: 1 });
      expect(result.stderr).toMatch(
        /^error KEY_INVALID: .*zz-garbage\.asc[^]*^error KEY_INVALID: .*zz-odd\.asc/m,
      );
      return result;
    };
    const sheet = (await shown('recovery-sheet')).stdout.replaceAll(/\n */g, ' ');
    expect(sheet).toContain(fingerprint.match(/.{4}/g)?.join(' '));
    for (const words of ['NOTHING IS SEALED UNTIL', 'zz-garbage.asc', 'zz-odd.asc', '--key private.asc'])
      expect(sheet).toContain(words);
    expect((await shown('recipient', 'list')).stdout).toContain(fingerprint);
    for (const command of [['recovery-sheet'], ['recipient', 'list']]) {
      const json = JSON.parse((await shown(...command, '--json')).stdout) as Listed;
      expect(json.recipients).toMatchObject([{ fingerprint }]);
      expect(json.unusableKeys).toHaveLength(2);
    }
    // what was done is said, and what is wrong beside it
    for (const command of [
      ['add', exported('rsa@example.org')],
      ['remove', gpg.fingerprint('rsa@example.org')],
    ]) {
      const changed = await must('recipient', ...command);
      expect(changed).toContain(gpg.fingerprint('rsa@example.org'));
      expect(changed).toMatch(/^warning: nothing is sealed until .*zz-garbage\.asc/m);
    }
  });

  it('warns of one recipient only, of one that GnuPG cannot read, and of one that ends within a year', async () => {
    gpg.generateKey('short@example.org', 'ed25519', '90d');
    const one = await must('init', '--yes', '--recipient', exported('short@example.org'));
    expect(one).toContain('warning: one recipient only');
    expect(one).toMatch(/warning: key [0-9A-F]{40} expires on 20\d\d-\d\d-\d\d, in (89|90) days/);
    home = at('other');
    const v6 = await must('init', '--yes', '--recipient', fixture('v6-curve25519.public.asc'));
    expect(v6).toContain('nobody can restore by hand with gpg 2.2');
    expect(v6).not.toContain('expires on');
  });

  it('says nothing of a key that ends in two years', async () => {
    gpg.generateKey('long@example.org', 'ed25519', '2y');
    const made = await must('init', '--yes', '--recipient', exported('long@example.org'));
    expect(made).not.toContain('warning: key');
  });

  it('refuses to finish unproved where nobody can answer, names the option, and makes nothing', async () => {
    const result = await agent('init', '--recipient', exported('ecc@example.org'));
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(/^error USAGE: there is no terminal[^]*--yes/);
    expect(fs.existsSync(home)).toBe(false);
  });

  it.each([
    ['no OpenPGP public key', () => written('garbage.asc', 'hello\n'), 'KEY_INVALID'],
    ['cannot be read: ENOENT', () => at('absent.asc'), 'KEY_INVALID'],
    ['secret key', () => fixture('gpg24-style.secret.asc'), 'KEY_INVALID'],
  ])('refuses a file with %s, and makes nothing', async (words, file, code) => {
    const result = await agent('init', '--yes', '--recipient', file());
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toContain(`error ${code}: `);
    expect(result.stderr).toContain(words);
    expect(fs.existsSync(home)).toBe(false);
  });
});

describe('init with a new key', () => {
  const passphrase = (): string => written('passphrase', 'correct horse\n');

  it('gives out the private key in memory, protected, and keeps only the public one', async () => {
    const given = path.join(memoryDirectory(), 'private.asc');
    const args = ['--generate-key', given, '--key-passphrase-file', passphrase()];
    const made = JSON.parse(await must('init', '--yes', '--json', ...args)) as {
      recipients: string[];
      privateKeyFile: string;
    };
    expect(made.privateKeyFile).toBe(given);
    expect(fs.statSync(given).mode & 0o777).toBe(0o600);
    const elsewhere = new GpgHome();
    onTestFinished(() => elsewhere.remove());
    elsewhere.run(['--import'], fs.readFileSync(given));
    expect(made.recipients).toEqual([elsewhere.fingerprint('mastokeep')]);
    const kept = fs.readFileSync(path.join(home, 'recipients', `${made.recipients[0]}.asc`), 'utf8');
    expect(kept).toContain('PUBLIC KEY BLOCK');
    expect(kept).not.toContain('PRIVATE');
  });

  it.each<[string, (memory: string) => string, RegExp]>([
    ['a disk', () => at('private.asc'), /is on a disk/],
    [
      'a file that exists',
      (memory) => written(path.relative(directory, `${memory}/there`), ''),
      /there is a file/,
    ],
    ['a directory that does not exist', (memory) => `${memory}/none/key`, /ENOENT/],
    ['a terminal that is not there', () => '-', /no terminal to show the private key/],
  ])('does not give it out to %s', async (_what, destination, words) => {
    const given = destination(memoryDirectory());
    const before = fs.existsSync(given) ? fs.readFileSync(given, 'utf8') : null;
    const args = ['--generate-key', given, '--key-passphrase-file', passphrase()];
    const result = await agent('init', '--yes', ...args);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(words);
    expect(fs.existsSync(home)).toBe(false);
    expect(fs.existsSync(given) ? fs.readFileSync(given, 'utf8') : null).toBe(before);
  });

  it('needs a passphrase for it, and takes no empty one', async () => {
    const given = path.join(memoryDirectory(), 'private.asc');
    const none = await agent('init', '--yes', '--generate-key', given);
    expect(none.code).toBe(2);
    expect(none.stderr).toContain('--key-passphrase-file FILE');
    const empty = written('empty', '\n');
    const result = await agent('init', '--yes', '--generate-key', given, '--key-passphrase-file', empty);
    expect(result.stderr).toContain('does not hold one line');
    expect(fs.existsSync(given)).toBe(false);
  });

  it('leaves no part of it where there is no room for all', async () => {
    const given = path.join(memoryDirectory(), 'private.asc');
    const args = ['init', '--yes', '--generate-key', given, '--key-passphrase-file', passphrase()];
    const limited = [
      '-c',
      'ulimit -f 0; exec "$@"',
      'bash',
      process.execPath,
      'agent/main.ts',
      '--home',
      home,
    ];
    const result = spawnSync('bash', [...limited, ...args], { encoding: 'utf8' });
    expect(result.status).toBe(2);
    expect(result.stderr).toContain(`${given} cannot be written: EFBIG`);
    expect(fs.existsSync(given)).toBe(false);
  });

  it('takes it back when the home cannot be made', async () => {
    const given = path.join(memoryDirectory(), 'private.asc');
    // in the way of the directory of the keys
    fs.mkdirSync(home);
    fs.writeFileSync(path.join(home, 'recipients'), '');
    const args = ['--generate-key', given, '--key-passphrase-file', passphrase()];
    expect((await agent('init', '--yes', ...args)).code).toBe(1);
    expect(fs.existsSync(given)).toBe(false);
    expect(fs.readdirSync(home)).toEqual(['recipients']);
  });
});

describe('init with a passphrase', () => {
  it('keeps it readable for the agent alone, and says where and what that means', async () => {
    const file = written('passphrase', 'correct horse\n');
    const made = await must('init', '--passphrase-file', file);
    const kept = path.join(home, 'recipients', 'passphrase');
    expect(made).toContain(`warning: the passphrase stays on this server, in ${kept} (0600)`);
    expect(made).not.toContain('correct horse');
    expect(fs.statSync(kept).mode & 0o777).toBe(0o600);
    expect(fs.statSync(path.dirname(kept)).mode & 0o777).toBe(0o700);
  });

  it.each([
    ['--recipient', 'x.asc'],
    ['--generate-key', '/dev/shm/x'],
  ])('does not go together with %s', async (option, value) => {
    const file = written('passphrase', 'correct horse\n');
    const result = await agent('init', '--yes', '--passphrase-file', file, option, value);
    expect(result).toMatchObject({ code: 2 });
    expect(result.stderr).toContain('either to keys or with a passphrase');
  });
});

describe('folder add of a sealed folder', () => {
  it('warns while there is no key to seal to, and of a password in the configuration', async () => {
    await must('init', '--yes');
    const added = ['folder', 'add', 'x', '--kind', 'sealed', '--command', 'true'];
    expect(await must(...added)).toContain('warning: there is no key to seal to yet');
    const database = 'dbname=x password=hunter2';
    const stored = await must('folder', 'add', 'z', '--kind', 'sealed', '--postgres', database);
    expect(stored).toContain('warning: the password of the database now lies in');
    expect(stored).not.toContain('hunter2');
    await must('recipient', 'add', exported('ecc@example.org'));
    const passwordless = ['folder', 'add', 'w', '--kind', 'sealed', '--postgres', 'dbname=x'];
    expect(await must(...passwordless)).not.toContain('warning');
    expect(await must('folder', 'add', 'y', '--kind', 'sealed', '--command', 'true')).not.toContain(
      'warning',
    );
  });
});

describe('recipient', () => {
  it('is found by a short key ID, removed, and the last one stays', async () => {
    await must('init', '--yes', '--recipient', exported('rsa@example.org'));
    const added = await must('recipient', 'add', exported('ecc@example.org'));
    expect(added).toContain('a new epoch: everything is sealed and sent once more');
    const fingerprint = gpg.fingerprint('rsa@example.org');
    expect((await agent('recipient', 'remove', fingerprint.slice(-7))).stderr).toContain('no recipient has');
    const removed = await must('recipient', 'remove', `0x${fingerprint.slice(-8).toLowerCase()}`);
    expect(removed).toContain(`removed ${fingerprint}`);
    expect(removed).toContain('a new epoch');
    expect(removed).toContain('one recipient only');
    const last = await agent('recipient', 'remove', gpg.fingerprint('ecc@example.org'));
    expect(last).toMatchObject({ code: 2 });
    expect(last.stderr).toContain('the only recipient');
    expect(await must('recipient', 'list')).toContain(gpg.fingerprint('ecc@example.org'));
  });

  it('is not removed by an ID that two have', async () => {
    await must('init', '--yes', '--recipient', exported('rsa@example.org'));
    await must('recipient', 'add', exported('ecc@example.org'));
    const [first = '', second = ''] = fs.readdirSync(path.join(home, 'recipients'));
    // the same key by another name is the simplest clash
    fs.copyFileSync(path.join(home, 'recipients', first), path.join(home, 'recipients', 'by-hand.asc'));
    const result = await agent('recipient', 'remove', path.basename(first, '.asc'));
    expect(result.stderr).toContain('2 recipients have the key ID');
    expect(fs.readdirSync(path.join(home, 'recipients')).sort()).toEqual(
      [first, second, 'by-hand.asc'].sort(),
    );
  });

  it('of a file that cannot be read is removed by the name of the file', async () => {
    await must('init', '--yes', '--recipient', exported('rsa@example.org'));
    const name = 'ABCDEF0123456789ABCDEF0123456789ABCDEF01';
    fs.writeFileSync(path.join(home, 'recipients', `${name}.asc`), 'garbage');
    expect((await agent('recipient', 'list')).stderr).toContain(`${name}.asc`);
    await must('recipient', 'remove', name);
    await must('recipient', 'list');
  });

  it('leaves the way of the passphrase, and says that the passphrase still lies there', async () => {
    await must('init', '--passphrase-file', written('passphrase', 'correct horse\n'));
    const added = await must('recipient', 'add', exported('ecc@example.org'));
    expect(added).toContain(
      `the passphrase in ${path.join(home, 'recipients', 'passphrase')} is no longer used`,
    );
  });

  it('cannot be proved where nobody can answer', async () => {
    await must('init', '--yes', '--recipient', exported('rsa@example.org'));
    const result = await agent('recipient', 'prove');
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toContain('in a terminal');
  });
});
