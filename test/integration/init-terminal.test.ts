import fs from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { GpgHome } from '../support/gpg-home.ts';
import { runCommand, type CommandResult } from '../support/program.ts';
import { diskDirectory, memoryDirectory } from '../support/temporary-directory.ts';
import { until } from '../support/until.ts';
import { keys, TerminalSession } from '../support/terminal-session.ts';

const messagePattern = /-----BEGIN PGP MESSAGE-----[^]*?-----END PGP MESSAGE-----/;

let gpg: GpgHome;
let directory: string;
let home: string;

beforeAll(() => {
  gpg = new GpgHome();
  gpg.generateKey('admin@example.org', 'rsa3072');
});

afterAll(() => {
  gpg.remove();
});

beforeEach(() => {
  directory = diskDirectory();
  home = path.join(directory, 'home');
  fs.writeFileSync(at('admin.asc'), gpg.run(['--armor', '--export', 'admin@example.org']));
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true, force: true });
});

const at = (name: string): string => path.join(directory, name);

function begin(...args: string[]): TerminalSession {
  const session = new TerminalSession('agent', ['--home', home, ...args]);
  onTestFinished(() => session.end());
  return session;
}

async function agent(...args: string[]): Promise<CommandResult> {
  return runCommand('agent', ['--home', home, ...args]);
}

/** What a person gets who pastes the challenge on the screen into gpg elsewhere. */
async function decrypted(session: TerminalSession, where: GpgHome, args: string[] = []): Promise<string> {
  const [message] = await session.said(messagePattern);
  return where
    .run([...args, '--decrypt'], message)
    .toString('utf8')
    .trim();
}

describe('init in a terminal', () => {
  it('asks for everything, and finishes when gpg has decrypted the challenge', async () => {
    const session = begin('init');
    await session.answer(/Directory of the Mastodon installation/, '');
    await session.answer(/Who shall be able to read/, '');
    await session.answer(/File with the public key/, at('absent.asc'));
    await session.said(/absent\.asc cannot be read: ENOENT/);
    await session.answer(/File with the public key/, at('admin.asc'));
    await session.answer(/File with another public key/, '');
    const answer = await decrypted(session, gpg);
    expect(fs.existsSync(home)).toBe(false);
    await session.answer(/The answer/, answer.toLowerCase().replaceAll('-', ' '));
    expect(await session.exited).toBe(0);
    expect(session.text).toContain(`sealed to ${gpg.fingerprint('admin@example.org')}`);
    expect(session.text).toContain('one recipient only');
    expect(session.text).toContain('MASTOKEEP RECOVERY SHEET');
    const listed = await agent('recipient', 'list', '--json');
    expect(JSON.parse(listed.stdout)).toMatchObject({
      recipients: [{ fingerprint: gpg.fingerprint('admin@example.org') }],
    });
  });

  it('asks again after a wrong answer, and at last sets up nothing', async () => {
    const session = begin('init', '--mastodon', '', '--recipient', at('admin.asc'));
    await session.said(messagePattern);
    await session.answer(/The answer/, 'AAAAA-AAAAA-AAAAA-AAAAA');
    await session.said(/That is not it. Tries left: 2/);
    await session.answer(/The answer/, '');
    await session.said(/That is not it. Tries left: 1/);
    await session.answer(/The answer/, 'x');
    await session.said(/error KEY_WRONG: the proof failed/);
    expect(await session.exited).toBe(1);
    expect(fs.existsSync(home)).toBe(false);
  });

  it('writes the challenge to a file where that is wanted, and removes it', async () => {
    const file = at('challenge.asc');
    const session = begin('init', '--mastodon', '', '--recipient', at('admin.asc'), '--challenge-file', file);
    await session.said(/The answer/);
    expect(session.text).not.toMatch(messagePattern);
    session.type(`${gpg.run(['--decrypt', file]).toString('utf8').trim()}${keys.enter}`);
    expect(await session.exited).toBe(0);
    expect(fs.existsSync(file)).toBe(false);
  });

  it('makes a key pair whose private part works in gpg elsewhere and is nowhere on the disk', async () => {
    const given = path.join(memoryDirectory(), 'private.asc');
    const session = begin('init');
    await session.answer(/Directory of the Mastodon installation/, '');
    await session.answer(/Who shall be able to read/, keys.down);
    await session.said(/Where to give out the private key/);
    session.type(`${'\b'.repeat(60)}${at('on-disk.asc')}${keys.enter}`);
    await session.said(/is\s+on\s+a\s+disk/);
    session.type(`${'\b'.repeat(200)}${given}${keys.enter}`);
    await session.answer(/A passphrase that protects/, 'correct horse');
    await session.answer(/The same again/, 'correct hoarse');
    await session.said(/two different ones/);
    await session.answer(/A passphrase that protects/, 'correct horse');
    await session.answer(/The same again/, 'correct horse');
    const elsewhere = new GpgHome();
    onTestFinished(() => elsewhere.remove());
    await session.said(/gpg --import private\.asc/);
    const [message] = await session.said(messagePattern);
    elsewhere.run(['--import'], fs.readFileSync(given));
    const unlock = ['--pinentry-mode', 'loopback', '--passphrase', 'correct horse'];
    const answer = elsewhere
      .run([...unlock, '--decrypt'], message)
      .toString('utf8')
      .trim();
    await session.answer(/The answer/, answer);
    expect(await session.exited).toBe(0);
    expect(fs.statSync(given).mode & 0o777).toBe(0o600);
    expect(fs.readFileSync(given, 'utf8')).toContain('PRIVATE KEY BLOCK');
    expect(session.text).not.toContain('PRIVATE KEY BLOCK');
    expect(session.text).not.toContain('correct horse');
    for (const file of filesIn(directory)) {
      const content = fs.readFileSync(file, 'latin1');
      expect(content.includes('PRIVATE KEY BLOCK'), file).toBe(false);
      expect(content.includes('correct horse'), file).toBe(false);
    }
  });

  it('shows a new private key once on the terminal where that is wanted', async () => {
    fs.writeFileSync(at('passphrase'), 'correct horse\n');
    const args = ['--generate-key', '-', '--key-passphrase-file', at('passphrase')];
    const session = begin('init', '--mastodon', '', ...args);
    const [shown] = await session.said(
      /-----BEGIN PGP PRIVATE KEY BLOCK-----[^]*?-----END PGP PRIVATE KEY BLOCK-----/,
    );
    const elsewhere = new GpgHome();
    onTestFinished(() => elsewhere.remove());
    elsewhere.run(['--import'], shown);
    const unlock = ['--pinentry-mode', 'loopback', '--passphrase', 'correct horse'];
    await session.answer(/The answer/, await decrypted(session, elsewhere, unlock));
    expect(await session.exited).toBe(0);
    expect(session.text.match(/BEGIN PGP PRIVATE KEY BLOCK/g)).toHaveLength(1);
  });

  it('leaves nothing behind when it is interrupted in the proof, the new private key neither', async () => {
    const given = path.join(memoryDirectory(), 'private.asc');
    fs.writeFileSync(at('passphrase'), 'correct horse\n');
    const args = ['--generate-key', given, '--key-passphrase-file', at('passphrase')];
    const session = begin('init', '--mastodon', '', ...args);
    await session.said(/The answer/);
    expect(fs.existsSync(given)).toBe(true);
    session.type(keys.interrupt);
    expect(await session.exited).toBe(130);
    expect(fs.existsSync(given)).toBe(false);
    expect(fs.existsSync(home)).toBe(false);
  });

  it('leaves nothing behind when the connection of the terminal breaks', async () => {
    const given = path.join(memoryDirectory(), 'private.asc');
    fs.writeFileSync(at('passphrase'), 'correct horse\n');
    const args = ['--generate-key', given, '--key-passphrase-file', at('passphrase')];
    const session = begin('init', '--mastodon', '', ...args);
    await session.said(/The answer/);
    expect(fs.existsSync(given)).toBe(true);
    session.end();
    await until('the private key is gone', () => !fs.existsSync(given));
    expect(fs.existsSync(home)).toBe(false);
  });

  it('seals with a passphrase, asked twice, and says what that gives up and where it lies', async () => {
    const session = begin('init', '--mastodon', '');
    await session.answer(/Who shall be able to read/, `${keys.down}${keys.down}`);
    await session.answer(/The passphrase to seal with/, 'correct horse');
    await session.answer(/The same again/, 'correct horse');
    expect(await session.exited).toBe(0);
    const file = path.join(home, 'recipients', 'passphrase');
    expect(session.text).toContain(`warning: the passphrase stays on this server, in ${file} (0600)`);
    expect(fs.readFileSync(file, 'utf8')).toBe('correct horse\n');
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    expect((await agent('recipient', 'list')).stdout).toContain(file);
  });
});

describe('recipient prove', () => {
  it('has one of several keys proved, chosen by its short ID', async () => {
    const other = new GpgHome();
    onTestFinished(() => other.remove());
    other.generateKey('second@example.org', 'ed25519');
    fs.writeFileSync(at('second.asc'), other.run(['--armor', '--export']));
    await agent('init', '--yes', '--recipient', at('admin.asc'), '--recipient', at('second.asc'));
    const id = other.fingerprint('second@example.org').slice(-8).toLowerCase();
    const session = begin('recipient', 'prove', `0x${id}`);
    const [message] = await session.said(messagePattern);
    expect(gpg.try(['--decrypt'], message).status).not.toBe(0);
    await session.answer(/The answer/, other.run(['--decrypt'], message).toString('utf8').trim());
    await session.said(/proved: the private key opens/);
    expect(await session.exited).toBe(0);
  });
});

function filesIn(root: string): string[] {
  return fs
    .readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'passphrase')
    .map((entry) => path.join(entry.parentPath, entry.name));
}
