import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';

const namePattern = /^mastokeep-restore-(?<pid>\d+)-[A-Za-z0-9]{6}$/;

/**
 * A directory that only we can read, for an archive on its way into a database. What runs of ours that were killed have
 * left beside it is removed. `remove` may be called again.
 * @throws CodedError TARGET_UNUSABLE
 */
export function makeScratch(parent: string | null): { directory: string; remove(): void } {
  const place = parent ?? os.tmpdir();
  try {
    fs.mkdirSync(place, { recursive: true });
    for (const name of fs.readdirSync(place)) if (isAbandoned(place, name)) remove(path.join(place, name));
    const directory = fs.mkdtempSync(path.join(place, `mastokeep-restore-${process.pid}-`));
    return { directory, remove: () => remove(directory) };
  } catch (cause) {
    const code = systemErrorCode(cause) ?? String(cause);
    throw new CodedError('TARGET_UNUSABLE', `${place} cannot hold the dump meanwhile: ${code}`, {
      hint: 'name another directory by --scratch DIR',
      cause,
    });
  }
}

/** A directory of ours whose process has ended. */
function isAbandoned(place: string, name: string): boolean {
  const pid = namePattern.exec(name)?.groups?.['pid'];
  if (pid === undefined) return false;
  const found = fs.lstatSync(path.join(place, name), { throwIfNoEntry: false });
  if (found?.isDirectory() !== true || found.uid !== process.getuid?.()) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return systemErrorCode(error) === 'ESRCH';
  }
}

function remove(directory: string): void {
  fs.rmSync(directory, { recursive: true, force: true });
}
