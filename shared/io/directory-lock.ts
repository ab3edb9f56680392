import path from 'node:path';
import Database from 'better-sqlite3';
import { CodedError } from '../errors/coded-error.ts';
import { makePrivateFile } from './private-file.ts';

export type DirectoryLock = { release(): void };

/**
 * Takes the directory for this process until `release` or the process ends, however it ends: an exclusive SQLite lock
 * on the file `lock` in it, which the kernel frees at kill -9.
 * @throws CodedError ALREADY_RUNNING
 */
export function lockDirectory(directory: string): DirectoryLock {
  const file = path.join(directory, 'lock');
  makePrivateFile(file);
  const database = new Database(file, { timeout: 0 });
  try {
    database.pragma('locking_mode = EXCLUSIVE');
    database.pragma('journal_mode = MEMORY');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    throw new CodedError('ALREADY_RUNNING', `another process uses ${directory}`, {
      hint: 'stop it first; one receiver at a time may use a data directory',
      context: { directory },
      cause: error,
    });
  }
  return { release: () => void database.close() };
}
