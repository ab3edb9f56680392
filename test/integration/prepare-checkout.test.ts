import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/*
 * The script behind `npm start` and `npm test`, in a checkout of its own and with a PATH that holds only what a test puts
 * there. What would change the machine (npm, apt-get) only writes down how it was called.
 */
const script = path.resolve(import.meta.dirname, '../support/prepare.sh');
const ordinary = ['sh', 'dirname', 'cksum', 'cat', 'sort', 'head', 'tr', 'mkdir'];
const wanted = ['strace', 'sshfs', 'mkfs.ext4', 'initdb', 'gpg', 'zstd', 'openssl', 'python3'];
const absolute = ['/usr/lib/openssh/sftp-server', '/usr/sbin/automount'];

let checkout: string;
let programs: string;

beforeEach(() => {
  checkout = temporaryDirectory();
  programs = path.join(checkout, 'programs');
  fs.mkdirSync(path.join(checkout, 'test/support'), { recursive: true });
  fs.mkdirSync(programs);
  fs.copyFileSync(script, path.join(checkout, 'test/support/prepare.sh'));
  fs.writeFileSync(path.join(checkout, 'package-lock.json'), '{}');
  for (const name of ordinary) fs.symlinkSync(whereIs(name), path.join(programs, name));
  for (const name of wanted) fake(name, '');
  fake('node', 'echo v24.12.0');
  fake('npm', 'mkdir -p node_modules; echo "npm $*" >>called');
  fake('apt-get', 'echo "apt-get $*" >>called');
  fake('id', 'echo 1000');
});
afterEach(() => fs.rmSync(checkout, { recursive: true }));

function whereIs(name: string): string {
  const found = ['/usr/bin', '/bin'].map((directory) => path.join(directory, name)).find(fs.existsSync);
  if (found === undefined) throw new Error(`no ${name} on this machine`);
  return found;
}

function fake(name: string, body: string): void {
  fs.writeFileSync(path.join(programs, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
}

function prepare(purpose: string) {
  const called = path.join(checkout, 'called');
  fs.rmSync(called, { force: true });
  const options = { env: { PATH: programs }, encoding: 'utf8' } as const;
  const { status, stderr } = spawnSync(
    whereIs('sh'),
    [path.join(checkout, 'test/support/prepare.sh'), purpose],
    options,
  );
  const calls = fs.existsSync(called) ? fs.readFileSync(called, 'utf8').trim().split('\n') : [];
  return { status, stderr, calls };
}

it('installs the npm packages of a fresh checkout, and again when the lockfile is another one, and not otherwise', () => {
  const [install] = prepare('run').calls;
  expect(install).toMatch(/^npm ci .*--ignore-scripts/);
  expect(prepare('run')).toEqual({ status: 0, stderr: '', calls: [] });
  fs.writeFileSync(path.join(checkout, 'package-lock.json'), '{"another": 1}');
  expect(prepare('run').calls).toEqual([install]);
});

it('says what to do when npm is missing or fails, and tries again the next time', () => {
  fake('npm', 'exit 1');
  expect(prepare('run')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('error INSTALL_FAILED: ') as string,
  });
  fs.rmSync(path.join(programs, 'npm'));
  expect(prepare('run')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('error NPM_MISSING: ') as string,
  });
});

it('says which Node it needs where an older one would be started', () => {
  fake('node', 'echo v24.11.9');
  const { status, stderr } = prepare('run');
  expect([status, stderr]).toEqual([
    1,
    expect.stringContaining(
      'error NODE_TOO_OLD: this is Node 24.11.9, mastokeep needs Node 24.12.0 or newer',
    ),
  ]);
});

it('names missing Debian packages and itself to whoever is not root, and installs nothing', () => {
  prepare('test');
  for (const name of ['zstd', 'strace']) fs.rmSync(path.join(programs, name));
  const { status, stderr, calls } = prepare('test');
  expect([status, calls]).toEqual([1, []]);
  expect(stderr).toMatch(/^error PACKAGES_MISSING: .*: strace( autofs)? zstd$/m);
  expect(stderr).toContain('run this as root once: sh test/support/prepare.sh test');
  expect(prepare('run').status).toBe(0);
});

it('installs missing Debian packages as root, and fails where apt-get does', () => {
  prepare('test');
  fake('id', 'echo 0');
  fs.rmSync(path.join(programs, 'zstd'));
  const { status, calls } = prepare('test');
  expect([status, calls[0]]).toEqual([0, 'apt-get update -qq']);
  expect(calls[1]).toMatch(/^apt-get install .* zstd$/);
  fake('apt-get', 'exit 100');
  expect(prepare('test')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('error PACKAGES_MISSING: ') as string,
  });
});

it.runIf(absolute.every((file) => fs.existsSync(file)))('asks for nothing where all is there', () => {
  prepare('test');
  expect(prepare('test')).toEqual({ status: 0, stderr: '', calls: [] });
});
