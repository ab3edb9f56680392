import { neededNodeVersion } from './program-version.ts';

/**
 * What to tell the user of a Node.js that is too old, or null where it is new enough. This file and what it imports
 * must load in old releases: it runs before anything else is imported (better-sqlite3 crashes there without a word).
 */
export function nodeVersionProblem(version: string, program: string): string | null {
  if (compareVersions(version, neededNodeVersion) >= 0) return null;
  return (
    `error NODE_TOO_OLD: this is Node.js ${version}, ${program} needs ${neededNodeVersion.replace(/\.0$/, '')} or newer\n` +
    '  install it from https://nodejs.org, or start the program with the Node.js that comes with the package\n'
  );
}

function compareVersions(a: string, b: string): number {
  const left = a.split('.').map((part) => Number.parseInt(part, 10));
  const right = b.split('.').map((part) => Number.parseInt(part, 10));
  for (const [position, part] of right.entries()) {
    const difference = (left[position] ?? 0) - part;
    if (difference !== 0) return difference;
  }
  return 0;
}
