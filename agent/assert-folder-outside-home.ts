import { CodedError } from '../shared/errors/coded-error.ts';
import type { Home } from '../shared/io/home.ts';
import type { FolderConfig } from './config.ts';
import { pathBelow, realPath } from './real-path.ts';

/**
 * A folder whose content comes from files must leave the agent's home alone. Links on the way to either are followed.
 * @throws CodedError CONFIG_INVALID
 */
export function assertFolderOutsideHome(folder: FolderConfig, home: Home): void {
  if (folder.kind === 'mirror') assertTreeOutsideHome(folder.path, home);
  else if ('paths' in folder.source) assertPathsWithoutHome(folder.source.paths, home);
}

/**
 * A folder must not hold the agent's home, whose private key would go to every receiver, nor lie in it: writing down
 * what was found there would be the next change.
 */
function assertTreeOutsideHome(directory: string, home: Home): void {
  const [folderPath, homePath] = [realPath(directory), realPath(home.directory)];
  if (!isWithin(homePath, folderPath) && !isWithin(folderPath, homePath)) return;
  const problem = isWithin(homePath, folderPath)
    ? `${directory} contains the home of this agent, ${home.directory}, with its private key`
    : `${directory} lies in the home of this agent, ${home.directory}`;
  throw new CodedError('CONFIG_INVALID', problem, {
    hint: 'choose a directory beside the home, or move the home elsewhere (--home)',
  });
}

/**
 * Sealed paths must not hold the agent's whole home: every dump would seal what the dump before left in the spool. Single
 * files of the home may be sealed.
 */
function assertPathsWithoutHome(paths: readonly string[], home: Home): void {
  const homePath = realPath(home.directory);
  const around = paths.find((directory) => isWithin(homePath, realPath(directory)));
  if (around === undefined) return;
  throw new CodedError(
    'CONFIG_INVALID',
    `${around} contains the home of this agent, ${home.directory}, with what waits to be sent`,
    { hint: 'name the directories beside the home one by one, or move the home elsewhere (--home)' },
  );
}

function isWithin(inner: string, outer: string): boolean {
  return pathBelow(inner, outer) !== null;
}
