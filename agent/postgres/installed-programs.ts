import fs from 'node:fs';
import path from 'node:path';

/** Where Debian and Red Hat put the programs of one major version. */
const versionedDirectories = [
  { parent: '/usr/lib/postgresql', pattern: /^(\d+)$/, below: 'bin' },
  { parent: '/usr', pattern: /^pgsql-(\d+)$/, below: 'bin' },
];

/** Absolute paths of a PostgreSQL program on this machine: the one on the PATH, then those of every installed version, newest first. */
export function installedPrograms(program: string): string[] {
  const onPath = (process.env['PATH'] ?? '').split(':').filter((directory) => directory.startsWith('/'));
  const versioned = versionedDirectories.flatMap(({ parent, pattern, below }) =>
    listNames(parent)
      .flatMap((name) => {
        const found = pattern.exec(name);
        return found === null ? [] : [{ major: Number(found[1]), directory: path.join(parent, name, below) }];
      })
      .toSorted((a, b) => b.major - a.major)
      .map(({ directory }) => directory),
  );
  const first = onPath.map((directory) => path.join(directory, program)).find(isProgram);
  const others = versioned.map((directory) => path.join(directory, program)).filter(isProgram);
  return [...(first === undefined ? [] : [first]), ...others.filter((file) => file !== first)];
}

function listNames(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}

function isProgram(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}
