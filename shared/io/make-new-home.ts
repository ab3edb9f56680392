import fs from 'node:fs';
import { makeHomeDirectory, requireNewHome, type Home } from './home.ts';
import { lockHome } from './home-lock.ts';

/**
 * Makes the directory of a new home and fills it by `make`, alone: of two that begin at once one fails and touches
 * nothing of the other's. When `make` fails, the identity that it made and the lock file are removed again, so that the
 * home still counts as new.
 * @throws CodedError ALREADY_RUNNING (another one makes it), HOME_INVALID (it is made already, or cannot be), what `make` throws
 */
export async function makeNewHome<Made>(
  home: Home,
  program: string,
  make: () => Promise<Made>,
): Promise<Made> {
  makeHomeDirectory(home);
  const lock = lockHome(home, `${program} init`, 0);
  try {
    // only now: another one may have come to its end until the lock was taken
    requireNewHome(home);
    try {
      return await make();
    } catch (error) {
      fs.rmSync(home.identityDirectory, { recursive: true, force: true });
      // last: whoever makes it anew locks a file of his own
      fs.rmSync(home.lockFile, { force: true });
      throw error;
    }
  } finally {
    lock.release();
  }
}
