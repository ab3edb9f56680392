import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { postgresBin } from '../support/postgres.ts';

/** Programs that we are compared with, and the Debian packages that bring them; test/support/prepare.sh has the same. */
const packages = {
  restic: 'restic',
  borg: 'borgbackup',
  gzip: 'gzip',
  gpg: 'gnupg',
  rsync: 'rsync',
  syncthing: 'syncthing',
} as const;

const installWith = 'sh test/support/prepare.sh bench';

export type PeerProgram = keyof typeof packages;

/** Says which of the programs are missing and what brings them; gives those that are there. */
export function findPeers(
  wanted: readonly PeerProgram[],
  say: (line: string) => void,
): ReadonlySet<PeerProgram> {
  const missing = wanted.filter((name) => askVersion(name).status !== 0);
  for (const name of missing) say(describeMissing(name));
  return new Set(wanted.filter((name) => !missing.includes(name)));
}

function describeMissing(name: PeerProgram): string {
  return `${name} is not installed, so nothing is compared with it (Debian package ${packages[name]}; as root: ${installWith})`;
}

/** A program without which a benchmark cannot run at all. The message is for the user. */
export class ProgramMissingError extends Error {}

/** @throws ProgramMissingError */
export function requirePostgres(): void {
  const initdb = spawnSync(path.join(postgresBin, 'initdb'), ['--version'], { stdio: 'ignore' });
  if (initdb.status === 0) return;
  throw new ProgramMissingError(
    `PostgreSQL is not installed (Debian package postgresql; as root: ${installWith})`,
  );
}

/** The first line of what it says about its version. */
export function peerVersion(name: PeerProgram): string {
  return (askVersion(name).stdout.split('\n')[0] ?? '').replace(/ compiled .*/, '');
}

function askVersion(name: PeerProgram) {
  return spawnSync(name, [name === 'restic' ? 'version' : '--version'], { encoding: 'utf8' });
}
