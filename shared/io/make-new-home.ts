import fs from 'node:fs';
import { prepareNewHome, requireNewHome, type Home } from './home.ts';
import { lockHome } from './home-lock.ts';

/**
 * Makes the directory of a new home and fills it by `make`, alone: of two that begin at once one fails and touches
 * nothing of the other's. When `make` fails, the identity that it made is removed again, so that the home still counts
 * as new; the directory and its lock file stay.
 * @throws CodedError ALREADY_RUNNING (another one makes it), HOME_INVALID (it is made already, or cannot be), what `make` throws
 */
export async function makeNewHome<Made>(
  home: Home,
  program: string,
  make: () => Promise<Made>,
): Promise<Made> {
  prepareNewHome(home);
  const lock = lockHome(home, `${program} init`, 0);
  try {
    // another one may have come to its end before the lock was taken
    requireNewHome(home);
    try {
      return await make();
    } catch (error) {
      fs.rmSync(home.identityDirectory, { recursive: true, force: true });
      throw error;
    }
  } finally {
    lock.release();
  }
}
