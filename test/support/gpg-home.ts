import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** A GnuPG home of its own in a temporary directory (with its own agent). */
export class GpgHome {
  readonly directory: string;

  constructor() {
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mk-gpg-'));
    fs.chmodSync(this.directory, 0o700);
  }

  /** Runs gpg; gives its standard output. Throws with gpg's words when it fails. */
  run(args: readonly string[], input: Uint8Array | string = ''): Buffer {
    const ran = this.try(args, input);
    if (ran.status !== 0) throw new Error(`gpg ${args.join(' ')}: ${ran.stderr}`);
    return ran.stdout;
  }

  try(
    args: readonly string[],
    input: Uint8Array | string = '',
  ): { status: number | null; stdout: Buffer; stderr: string } {
    const ran = spawnSync('gpg', ['--homedir', this.directory, '--batch', ...args], {
      input,
      maxBuffer: 256 * 1024 * 1024,
    });
    return { status: ran.status, stdout: ran.stdout, stderr: ran.stderr.toString('utf8') };
  }

  /** A key, without a passphrase where none is given; `algorithm` as for --quick-generate-key. Gives its fingerprint. */
  generateKey(email: string, algorithm: 'rsa3072' | 'ed25519', expires = 'never', secret = ''): string {
    const passphrase = ['--pinentry-mode', 'loopback', '--passphrase', secret];
    if (algorithm === 'rsa3072') {
      this.run([...passphrase, '--quick-generate-key', `Test <${email}>`, 'default', 'default', expires]);
      return this.fingerprint(email);
    }
    this.run([...passphrase, '--quick-generate-key', `Test <${email}>`, 'ed25519', 'default', expires]);
    const fingerprint = this.fingerprint(email);
    this.run([...passphrase, '--quick-add-key', fingerprint, 'cv25519', 'encr', expires]);
    return fingerprint;
  }

  fingerprint(email: string): string {
    const lines = this.run(['--with-colons', '--list-keys', email]).toString('utf8').split('\n');
    return lines.find((line) => line.startsWith('fpr:'))?.split(':')[9] ?? '';
  }

  remove(): void {
    try {
      execFileSync('gpgconf', ['--homedir', this.directory, '--kill', 'gpg-agent'], { stdio: 'ignore' });
    } finally {
      fs.rmSync(this.directory, { recursive: true, force: true });
    }
  }
}
