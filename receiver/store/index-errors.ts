import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';

/** `isOutdated`: it is whole, and another version of the program made its tables. */
export function corrupt(why: string, { isOutdated } = { isOutdated: false }): CodedError {
  return new CodedError('DATABASE_CORRUPT', `the database of the store cannot be used: ${why}`, {
    hint: 'it is a cache: it is made anew from the journal when the store opens',
    context: { isOutdated },
  });
}

/** SQLite's error as a CodedError: STORE_FULL, DISK_FAILED, DATABASE_CORRUPT; any other error as it is. */
export function databaseError(error: unknown): unknown {
  const code = systemErrorCode(error);
  if (error instanceof CodedError || code === null || !code.startsWith('SQLITE_')) return error;
  if (code === 'SQLITE_FULL') {
    return new CodedError('STORE_FULL', 'no space left for the database of the store', { cause: error });
  }
  if (code.startsWith('SQLITE_IOERR')) {
    return new CodedError('DISK_FAILED', `the disk failed under the database of the store (${code})`, {
      cause: error,
    });
  }
  return corrupt(code);
}
