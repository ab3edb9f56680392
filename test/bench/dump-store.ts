import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { GpgHome } from '../support/gpg-home.ts';
import { measureProcess, type Measured } from './measured-process.ts';
import type { PeerProgram } from './peer-programs.ts';

/** A peer's way of keeping one dump an hour on a local disk. */
export type DumpStore = {
  /** What a table calls it. */
  title: string;
  programs: readonly PeerProgram[];
  /** Keeps one more dump. */
  store: (dump: string) => Promise<Measured>;
  /** Gives back the latest dump as a file in an empty directory. */
  restore: (to: string) => Promise<Restored>;
  /** Of everything that is kept. */
  bytesAtRest: () => number;
  close: () => void;
};

type Restored = { took: Measured; file: string };

export type OpenDumpStore = (directory: string) => DumpStore;

/** Makes a repository as `restic init` does, and gives the environment in which restic uses it. */
export function initRestic(directory: string): { repository: string; env: Record<string, string> } {
  const repository = path.join(directory, 'restic');
  const env = {
    RESTIC_REPOSITORY: repository,
    RESTIC_PASSWORD: 'bench',
    RESTIC_CACHE_DIR: path.join(directory, 'restic-cache'),
  };
  execFileSync('restic', ['init', '--quiet'], { env: { ...process.env, ...env } });
  return { repository, env };
}

/** Makes a repository that is encrypted by a key in it, and gives the environment in which Borg uses it. */
export function initBorg(directory: string): { repository: string; env: Record<string, string> } {
  const repository = path.join(directory, 'borg');
  const env = {
    BORG_REPO: repository,
    BORG_PASSPHRASE: 'bench',
    BORG_BASE_DIR: path.join(directory, 'borg-base'),
  };
  fs.mkdirSync(env.BORG_BASE_DIR);
  execFileSync('borg', ['init', '--encryption', 'repokey'], {
    env: { ...process.env, ...env },
    stdio: 'ignore',
  });
  return { repository, env };
}

/** A restic repository with its default compression. */
export function resticRepository(directory: string): DumpStore {
  const { repository, env } = initRestic(directory);
  return {
    title: 'restic',
    programs: ['restic'],
    store: async (dump) =>
      measureProcess(['restic', 'backup', '--quiet', '--stdin', '--stdin-filename', 'dump'], {
        input: dump,
        env,
      }),
    restore: async (to) => ({
      took: await measureProcess(['restic', 'restore', '--quiet', 'latest', '--target', to], { env }),
      file: path.join(to, 'dump'),
    }),
    bytesAtRest: () => directoryBytes(repository),
    close: () => {},
  };
}

/** A Borg repository encrypted by a key in it, compressed with zstd at level 3. */
export function borgRepository(directory: string): DumpStore {
  const { repository, env } = initBorg(directory);
  let archives = 0;
  return {
    title: 'borg, zstd,3',
    programs: ['borg'],
    store: async (dump) => {
      archives += 1;
      return measureProcess(['borg', 'create', '--compression', 'zstd,3', `::${archives}`, '-'], {
        input: dump,
        env,
      });
    },
    restore: async (to) => {
      const file = path.join(to, 'dump');
      const took = await measureProcess(['borg', 'extract', '--stdout', `::${archives}`], {
        output: file,
        env,
      });
      return { took, file };
    },
    bytesAtRest: () => directoryBytes(repository),
    close: () => {},
  };
}

/** Files of `gzip | gpg`, as many servers have them today. */
export function gzipGpgFiles(directory: string): DumpStore {
  const files = path.join(directory, 'gzip-gpg');
  fs.mkdirSync(files);
  const gpg = new GpgHome();
  const recipient = gpg.generateKey('bench@example.org', 'ed25519');
  let count = 0;
  const name = (): string => path.join(files, String(count));
  const shell = async (script: string, input: string, output: string): Promise<Measured> =>
    measureProcess(['bash', '-o', 'pipefail', '-c', script, 'bash', gpg.directory, recipient], {
      input,
      output,
    });
  return {
    title: 'gzip + gpg',
    programs: ['gzip', 'gpg'],
    store: async (dump) => {
      count += 1;
      const seal = 'gzip | gpg --homedir "$1" --batch --trust-model always -z 0 -e -r "$2"';
      return shell(seal, dump, name());
    },
    restore: async (to) => {
      const file = path.join(to, 'dump');
      return { took: await shell('gpg --homedir "$1" --batch --quiet -d | gunzip', name(), file), file };
    },
    bytesAtRest: () => directoryBytes(files),
    close: () => gpg.remove(),
  };
}

/** Sum of the sizes of all files below. */
export function directoryBytes(directory: string): number {
  let bytes = 0;
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += fs.statSync(path.join(entry.parentPath, entry.name)).size;
  }
  return bytes;
}
