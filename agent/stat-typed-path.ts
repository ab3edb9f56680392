import fs from 'node:fs';
import { CodedError, systemErrorCode } from '../shared/errors/coded-error.ts';

/**
 * What is at the path that a person named, links followed; null where nothing is.
 * @throws CodedError CONFIG_INVALID where that cannot be found out
 */
export function statTypedPath(file: string): fs.Stats | null {
  try {
    return fs.statSync(file, { throwIfNoEntry: false }) ?? null;
  } catch (cause) {
    const code = systemErrorCode(cause) ?? String(cause);
    throw new CodedError('CONFIG_INVALID', `${file} cannot be looked at: ${code}`, {
      hint:
        code === 'EACCES'
          ? 'run the command as root: what it makes belongs to the user of the program all the same'
          : 'name another path',
      cause,
    });
  }
}
