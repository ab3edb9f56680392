import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseRows } from '../support/database-rows.ts';
import { GpgHome } from '../support/gpg-home.ts';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { startPostgres, type PostgresServer } from '../support/postgres.ts';
import { SealedWorkbench } from '../support/sealed-workbench.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';

describe('sealed folders, as a user restores them', () => {
  let server: PostgresServer;
  let mastodon: MastodonDatabase;
  let sealed: SealedWorkbench;
  let secrets: string;
  /** When the version of the secrets with this number was durable. */
  const durableAt: string[] = [];

  beforeAll(async () => {
    server = await startPostgres();
    mastodon = await MastodonDatabase.create(server, 'mastodon_production', { seed: 5, statuses: 300 });
    sealed = await SealedWorkbench.create('restore-sealed');
    secrets = path.join(sealed.bench.directory, 'secrets');
    fs.mkdirSync(path.join(secrets, 'etc'), { recursive: true });
    fs.writeFileSync(path.join(secrets, 'etc/site.conf'), 'server {}\n', { mode: 0o640 });
    fs.symlinkSync('site.conf', path.join(secrets, 'etc/enabled'));
    writeSecret(1);
    await sealed.addFolder('secrets', '--path', secrets);
    await sealed.addFolder('database', '--postgres', mastodon.connection());
    for (const number of [1, 2, 3]) {
      writeSecret(number);
      await sealed.dump('secrets');
      durableAt.push(new Date().toISOString());
    }
    await sealed.dump('database');
    fs.writeFileSync(path.join(sealed.bench.source, 'picture.png'), 'a picture');
    await sealed.bench.settled();
  });

  afterAll(async () => {
    await sealed.dispose();
    await server.stop();
  });

  function writeSecret(number: number): void {
    fs.writeFileSync(path.join(secrets, '.env.production'), `SECRET_KEY_BASE=${number}\n`, { mode: 0o600 });
  }

  const secretsBelow = (to: string): string => path.join(to, 'secrets', secrets.slice(1));
  const secretBelow = (to: string): string =>
    fs.readFileSync(path.join(secretsBelow(to), '.env.production'), 'utf8');
  const expectSecrets = (to: string): void => {
    const { differences } = compareTrees(secrets, secretsBelow(to), { owners: process.getuid?.() === 0 });
    expect(formatDifferences(differences)).toBe('');
  };
  /** Files that are there, at whatever depth; a directory that was not made has none. */
  const filesBelow = (directory: string): string[] =>
    fs.existsSync(directory)
      ? fs
          .readdirSync(directory, { recursive: true, encoding: 'utf8' })
          .filter((name) => !fs.lstatSync(path.join(directory, name)).isDirectory())
      : [];

  it('come back together with the media by one command', async () => {
    const to = sealed.target('all');
    const { code, stdout, stderr } = await sealed.restore(['--to', to, ...sealed.withKey]);
    expect(code, stderr).toBe(0);
    for (const folder of ['secrets', 'database', 'media']) {
      expect(stdout).toMatch(new RegExp(`^${folder}: \\d+ files?, .* restored to ${to}/${folder}$`, 'm'));
    }
    expectSecrets(to);
    expect(fs.readFileSync(path.join(to, 'media/picture.png'), 'utf8')).toBe('a picture');
    const listing = server.run('pg_restore', ['--list', path.join(to, 'database/database.dump')]);
    expect(listing.toString('utf8')).toContain('TABLE DATA public statuses');
  });

  it('come back as all of /etc was: bytes, links, modes, owners and times', async () => {
    await sealed.addFolder('etc', '--path', '/etc');
    await sealed.dump('etc');
    const to = sealed.target('etc');
    const { code, stderr } = await sealed.restore(['--folder', 'etc', '--to', to, ...sealed.withKey]);
    expect(code, stderr).toBe(0);
    const owners = process.getuid?.() === 0;
    const comparison = compareTrees('/etc', path.join(to, 'etc/etc'), { owners });
    expect(formatDifferences(comparison.differences)).toBe('');
    expect(comparison.files).toBeGreaterThan(100);
    expect(comparison.links).toBeGreaterThan(10);
    const status = await sealed.bench.agent.run(['status', '--json']);
    const folders = (JSON.parse(status.stdout) as { folders: { id: string; unreadable: number }[] }).folders;
    expect(folders.find(({ id }) => id === 'etc')?.unreadable).toBe(comparison.unreadable.length);
  });

  it('come back without the sealed ones where there is no key, which is told, with exit code 3', async () => {
    const to = sealed.target('no-key');
    const { code, stderr } = await sealed.restore(['--to', to], { GNUPGHOME: temporaryDirectory() });
    expect(code).toBe(3);
    expect(stderr).toMatch(/^KEY_WRONG secrets: gpg has no key that opens this message/m);
    expect(filesBelow(to)).toEqual(['media/picture.png']);
  });

  it('come back as they were at any moment', async () => {
    for (const [position, at] of durableAt.entries()) {
      const to = sealed.target(`at-${position}`);
      const args = ['--folder', 'secrets', '--to', to, '--at', at, ...sealed.withKey];
      const { code, stdout, stderr } = await sealed.restore(args);
      expect(code, stderr).toBe(0);
      expect(stdout).toContain(`secrets: version ${position + 1}, made `);
      expect(secretBelow(to)).toBe(`SECRET_KEY_BASE=${position + 1}\n`);
    }
    const earlier = ['--folder', 'secrets', '--to', sealed.target('before'), '--at', '2 hours ago'];
    const before = await sealed.restore([...earlier, ...sealed.withKey]);
    expect(before.code).not.toBe(0);
    expect(filesBelow(sealed.target('before'))).toEqual([]);
  });

  it('open through gpg and its agent: only when the agent has the passphrase', async () => {
    const { gpg, passphrase } = sealed.owner;
    fs.writeFileSync(
      path.join(gpg.directory, 'gpg-agent.conf'),
      'allow-preset-passphrase\npinentry-program /bin/false\n',
    );
    const control = (command: string): void =>
      void execFileSync('gpgconf', ['--homedir', gpg.directory, command, 'gpg-agent'], { stdio: 'ignore' });
    control('--kill');
    const env = { GNUPGHOME: gpg.directory };
    const locked = sealed.target('gpg-locked');
    const refused = await sealed.restore(['--folder', 'secrets', '--to', locked], env);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/KEY_WRONG.*gpg/);
    expect(filesBelow(locked)).toEqual([]);

    control('--launch');
    const grips = gpg.run(['--with-colons', '--with-keygrip', '--list-secret-keys']).toString('utf8');
    for (const [, grip = ''] of grips.matchAll(/^grp:+([0-9A-F]{40}):/gm)) {
      const preset = spawnSync('/usr/lib/gnupg/gpg-preset-passphrase', ['--preset', grip], {
        env: { ...process.env, ...env },
        input: passphrase,
      });
      expect(preset.status, preset.stderr.toString()).toBe(0);
    }
    const to = sealed.target('gpg');
    const { code, stderr } = await sealed.restore(['--folder', 'secrets', '--to', to], env);
    expect(code, stderr).toBe(0);
    expectSecrets(to);
  });

  describe('with something wrong, nothing is written and the reason is told', () => {
    let other: GpgHome;
    let wrong: Record<'key' | 'passphrase' | 'garbage', string>;

    beforeAll(() => {
      other = new GpgHome();
      other.generateKey('stranger@example.org', 'rsa3072');
      const directory = temporaryDirectory();
      wrong = {
        key: path.join(directory, 'other.asc'),
        passphrase: path.join(directory, 'wrong-passphrase'),
        garbage: path.join(directory, 'garbage.asc'),
      };
      fs.writeFileSync(wrong.key, other.run(['--armor', '--export-secret-keys']));
      fs.writeFileSync(wrong.passphrase, 'not it\n');
      fs.writeFileSync(wrong.garbage, 'this is no key\n');
    });

    afterAll(() => {
      other.remove();
    });

    it.each<[string, () => string[], RegExp]>([
      ['another key', () => ['--key', wrong.key], /KEY_WRONG.*no given private key opens/],
      [
        'a wrong passphrase',
        () => ['--key', sealed.owner.privateFile, '--key-passphrase-file', wrong.passphrase],
        /KEY_WRONG.*the passphrase does not open private key [0-9A-F]{40}/,
      ],
      [
        'no passphrase',
        () => ['--key', sealed.owner.privateFile],
        /KEY_WRONG.*is protected by a passphrase[^]*--key-passphrase-file FILE/,
      ],
      ['the public key', () => ['--key', sealed.owner.publicFile], /KEY_INVALID.*the private one is needed/],
      ['no key at all', () => ['--key', wrong.garbage], /KEY_INVALID.*holds no OpenPGP private key/],
      ['a key file that is missing', () => ['--key', '/no/such.asc'], /USAGE.*\/no\/such.asc.*ENOENT/],
    ])('%s', async (what, key, message) => {
      const to = sealed.target(what);
      const args = ['--folder', 'secrets', '--folder', 'database', '--to', to];
      const { code, stderr } = await sealed.restore([...args, ...key()]);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(message);
      expect(stderr).not.toMatch(/^\s+at /m);
      expect(filesBelow(to)).toEqual([]);
    });

    it('another key, on the way into a database: no database is made', async () => {
      const scratch = temporaryDirectory();
      const into = ['--folder', 'database', '--pg-restore', server.connection('never_made')];
      const { code, stderr } = await sealed.restore([...into, '--scratch', scratch, '--key', wrong.key]);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/KEY_WRONG/);
      expect(fs.readdirSync(scratch)).toEqual([]);
      expect(server.sql('postgres', `select count(*) from pg_database where datname = 'never_made'`)).toBe(
        '0',
      );
    });
  });

  it('go on into a new database, through a scratch directory that is empty afterwards', async () => {
    const scratch = temporaryDirectory();
    const into = ['--folder', 'database', '--pg-restore', server.connection('again'), '--jobs', '2'];
    const args = [...into, '--scratch', scratch, ...sealed.withKey];
    const { code, stdout, stderr } = await sealed.restore(args);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^database: 1 file, .* restored to again$/m);
    expect(stderr).toMatch(/\[\d+\/\d+\] TABLE DATA .*statuses/);
    expect(stderr).toContain('foreign keys are being checked');
    const rows = databaseRows(server, 'again', 'held');
    expect(rows).toEqual(databaseRows(server, mastodon.name, 'queried'));
    expect(fs.readdirSync(scratch)).toEqual([]);

    server.sql('again', `delete from markers; insert into schema_migrations values ('20990101000000')`);
    const second = await sealed.restore(args);
    expect(second.code).toBe(3);
    expect(second.stderr).toMatch(/^error RESTORE_CONFLICT: .*again/m);
    expect(server.sql('again', 'select max(version) from schema_migrations')).toBe('20990101000000');
    expect(fs.readdirSync(scratch)).toEqual([]);
  });
});

it('a receiver whose database is deleted while it runs still gives everything by the script of its RESTORE.txt', async () => {
  const sealed = await SealedWorkbench.create('by-hand');
  try {
    const directory = temporaryDirectory();
    fs.writeFileSync(path.join(directory, '.env.production'), 'SECRET_KEY_BASE=1\n');
    await sealed.addFolder('secrets', '--path', directory);
    await sealed.dump('secrets');
    const { bench, owner } = sealed;
    const databases = path.join(bench.receiver.home, 'db');
    expect(fs.readdirSync(databases, { recursive: true })).toContainEqual(expect.stringMatching(/\.db$/));
    fs.rmSync(databases, { recursive: true });
    expect(bench.receiver.isRunning).toBe(true);
    const extract = "sed -n '/^~~~python/,/^~~~$/p' RESTORE.txt | sed '1d;$d' > restore.py";
    execFileSync('sh', ['-c', extract], { cwd: bench.data });
    const to = path.join(directory, 'restored');
    const [version = ''] = fs.readdirSync(path.join(sealed.held('secrets'), 'versions')).toSorted();
    const gpg = `gpg --homedir ${owner.gpg.directory} --pinentry-mode loopback --passphrase-file ${owner.passphraseFile}`;
    execFileSync('python3', ['restore.py', sealed.held('secrets'), path.basename(version, '.json'), to], {
      cwd: bench.data,
      env: { ...process.env, GPG: gpg },
    });
    expect(fs.readFileSync(path.join(to, directory, '.env.production'), 'utf8')).toBe('SECRET_KEY_BASE=1\n');
  } finally {
    await sealed.dispose();
  }
});

describe('a folder that is sealed by a passphrase', () => {
  let sealed: SealedWorkbench;
  let passphraseFile: string;
  let secret: string;

  beforeAll(async () => {
    const directory = temporaryDirectory();
    passphraseFile = path.join(directory, 'passphrase');
    fs.writeFileSync(passphraseFile, 'zwölf Elefanten\n');
    secret = path.join(directory, '.env.production');
    fs.writeFileSync(secret, 'OTP_SECRET=1\n');
    sealed = await SealedWorkbench.create('passphrase', { passphraseFile });
    await sealed.addFolder('secrets', '--path', secret);
    await sealed.dump('secrets');
  });

  afterAll(async () => {
    await sealed.dispose();
  });

  it('comes back by it, and by no other', async () => {
    const wrongFile = path.join(path.dirname(passphraseFile), 'wrong');
    fs.writeFileSync(wrongFile, 'elf Elefanten\n');
    const refused: [string[], RegExp][] = [
      [['--passphrase-file', wrongFile], /KEY_WRONG.*the passphrase does not open this message/],
      [sealed.withKey, /KEY_WRONG.*sealed by a passphrase[^]*--passphrase-file FILE/],
      [['--passphrase-file', '/no/such'], /USAGE.*\/no\/such cannot be read: ENOENT/],
    ];
    for (const [index, [args, message]] of refused.entries()) {
      const to = sealed.target(`refused-${index}`);
      const { code, stderr } = await sealed.restore(['--folder', 'secrets', '--to', to, ...args]);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(message);
      expect(fs.existsSync(path.join(to, 'secrets', secret.slice(1)))).toBe(false);
    }
    const to = sealed.target('by-passphrase');
    const args = ['--folder', 'secrets', '--to', to, '--passphrase-file', passphraseFile];
    const { code, stderr } = await sealed.restore(args);
    expect(code, stderr).toBe(0);
    expect(fs.readFileSync(path.join(to, 'secrets', secret.slice(1)), 'utf8')).toBe('OTP_SECRET=1\n');
  });
});
