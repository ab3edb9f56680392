import fs from 'node:fs';
import { systemErrorCode } from '../errors/coded-error.ts';

/**
 * Makes the file, empty, where there is none, and takes it away from everybody but its owner where there is one (files of
 * earlier versions). One that exists is never opened: closing it would free the locks that SQLite holds on it in this
 * process. Another user's file stays as it is.
 */
export function makePrivateFile(file: string): void {
  try {
    fs.closeSync(fs.openSync(file, 'wx', 0o600));
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw error;
    takeFromOthers(file);
  }
}

/** The same for a file that may be missing and then stays missing. */
export function takeFromOthers(file: string): void {
  const stats = fs.statSync(file, { throwIfNoEntry: false });
  if (stats === undefined || (stats.mode & 0o077) === 0) return;
  const user = process.geteuid?.();
  if (user === 0 || user === stats.uid) fs.chmodSync(file, stats.mode & 0o700);
}
