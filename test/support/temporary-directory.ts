import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const made = new Set<string>();

process.once('exit', removeTemporaryDirectories);

/** A new directory that goes with the test file, or with the process where that ends by itself. */
export function temporaryDirectory(base = os.tmpdir()): string {
  const directory = fs.mkdtempSync(path.join(base, 'mastokeep-'));
  made.add(directory);
  return directory;
}

/** On a disk also where `os.tmpdir()` is in memory, for tests that say something about one. @see scratch-place.ts */
export function diskDirectory(): string {
  return temporaryDirectory(process.env['MASTOKEEP_TEST_DISK']);
}

/** In memory where the system has that, for tests that make thousands of stores and do not rely on a disk. */
export function memoryDirectory(): string {
  return temporaryDirectory(fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir());
}

/** Removes all of them, unless `MASTOKEEP_KEEP` is set. */
export function removeTemporaryDirectories(): void {
  if (process.env['MASTOKEEP_KEEP'] !== undefined) return;
  for (const directory of made) fs.rmSync(directory, { recursive: true, force: true });
  made.clear();
}
