import fs from 'node:fs';
import Database from 'better-sqlite3';
import { CodedError } from '../errors/coded-error.ts';
import { writeFileAtomic } from './atomic-file.ts';
import { giveToHomeOwner, type Home } from './home.ts';
import { makePrivateFile } from './private-file.ts';

/** Held while it is open; the kernel frees it when the process ends in any way, kill -9 included. */
export type HomeLock = { release(): void };

/**
 * Takes the home for this process, waiting at most `waitMs` for another to leave it.
 * An exclusive SQLite transaction on an empty file: a lock that works wherever the databases work.
 * @throws CodedError ALREADY_RUNNING, HOME_INVALID
 */
export function lockHome(home: Home, program: string, waitMs: number): HomeLock {
  const database = openLockFile(home, waitMs);
  try {
    // No journal file: nothing is ever written.
    database.pragma('journal_mode = MEMORY');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (!isBusy(error)) throw unusable(home, error);
    const pid = readPid(home);
    throw new CodedError(
      'ALREADY_RUNNING',
      `${program} already runs on ${home.directory}${pid === null ? '' : ` (process ${pid})`}`,
      { hint: 'stop it first, or use another home with --home', cause: error },
    );
  }
  giveToHomeOwner(home, home.lockFile);
  notePid(home);
  return {
    release: () => {
      if (!database.open) return;
      fs.rmSync(home.pidFile, { force: true });
      database.close();
    },
  };
}

function openLockFile(home: Home, waitMs: number): Database.Database {
  try {
    makePrivateFile(home.lockFile);
    return new Database(home.lockFile, { timeout: waitMs });
  } catch (error) {
    throw unusable(home, error);
  }
}

function unusable(home: Home, cause: unknown): CodedError {
  return new CodedError('HOME_INVALID', `${home.directory} cannot be locked: ${String(cause)}`, {
    hint: 'it must be writable: run the command as the user of the program, or as root',
    cause,
  });
}

/** For people only: a disk that is full must not keep the program from starting. */
function notePid(home: Home): void {
  try {
    writeFileAtomic(home.pidFile, `${process.pid}\n`, 0o644);
  } catch {
    fs.rmSync(home.pidFile, { force: true });
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}

function readPid(home: Home): number | null {
  try {
    const pid = Number.parseInt(fs.readFileSync(home.pidFile, 'utf8'), 10);
    return Number.isInteger(pid) && pid > 0 ? pid : null;
  } catch {
    return null;
  }
}
