import fs from 'node:fs';
import path from 'node:path';
import { CodedError, systemErrorCode } from '../errors/coded-error.ts';

/** Where one program keeps identity, configuration, database and control socket. */
export type Home = {
  readonly directory: string;
  readonly identityDirectory: string;
  readonly configFile: string;
  readonly peersFile: string;
  readonly lockFile: string;
  readonly pidFile: string;
  readonly socketName: string;
};

/** The paths of a home; `configName` is `agent.yaml` or `receiver.yaml`. Touches nothing. */
export function homeAt(directory: string, configName: string): Home {
  const absolute = path.resolve(directory);
  return {
    directory: absolute,
    identityDirectory: path.join(absolute, 'identity'),
    configFile: path.join(absolute, configName),
    peersFile: path.join(absolute, 'peers.json'),
    lockFile: path.join(absolute, 'lock'),
    pidFile: path.join(absolute, 'pid'),
    socketName: 'control.sock',
  };
}

/** @throws CodedError HOME_INVALID when the home is missing or was never initialised */
export function requireInitialised(home: Home, program: string): void {
  try {
    fs.accessSync(home.configFile, fs.constants.R_OK);
    return;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') {
      throw new CodedError('HOME_INVALID', `${home.configFile} cannot be read: ${code ?? String(error)}`, {
        hint: 'run the command as the user of the program, or as root',
        cause: error,
      });
    }
  }
  throw new CodedError('HOME_INVALID', `${home.directory} is not the home of a ${program}`, {
    hint: `run "${program} init" first, or name the right directory with --home or $MASTOKEEP_HOME`,
  });
}

/**
 * Finds out whether a home could be made there, and makes nothing.
 * @throws CodedError HOME_INVALID when it is initialised already or cannot be made
 */
export function requireNewHome(home: Home): void {
  if (fs.existsSync(home.configFile)) {
    throw new CodedError('HOME_INVALID', `${home.directory} is already initialised`, {
      hint: `its configuration is ${home.configFile}; nothing was changed`,
    });
  }
  if (fs.existsSync(path.join(home.identityDirectory, 'key.pem'))) {
    throw new CodedError('HOME_INVALID', `${home.directory} has an identity already, but no configuration`, {
      hint:
        `put ${home.configFile} back; or, where no other device knows this one ` +
        `(an init was killed), remove ${home.identityDirectory} and run init again`,
    });
  }
  let existing = home.directory;
  while (!fs.existsSync(existing)) existing = path.dirname(existing);
  usable(home, () => fs.accessSync(existing, fs.constants.W_OK | fs.constants.X_OK));
}

/** Makes the directory of a home, 0700, where it does not exist. @throws CodedError HOME_INVALID when it cannot be used */
export function makeHomeDirectory(home: Home): void {
  usable(home, () => {
    fs.mkdirSync(home.directory, { recursive: true, mode: 0o700 });
    fs.accessSync(home.directory, fs.constants.W_OK | fs.constants.X_OK);
  });
}

function usable(home: Home, use: () => void): void {
  try {
    use();
  } catch (error) {
    throw new CodedError(
      'HOME_INVALID',
      `${home.directory} cannot be used: ${systemErrorCode(error) ?? 'unknown error'}`,
      {
        hint: 'run the command as the user of the program, or choose another directory with --home',
        cause: error,
      },
    );
  }
}

/**
 * A command that root runs on the home of another user goes on as that user, for good: so nothing of root's is left in
 * the home or among the copies.
 */
export function becomeHomeOwner(home: Home): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = fs.statSync(home.directory);
  if (uid === 0) return;
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}

/** Gives a file that a command run as root made in the home to the home's owner. */
export function giveToHomeOwner(home: Home, file: string): void {
  if (process.getuid?.() !== 0) return;
  const owner = fs.statSync(home.directory);
  fs.chownSync(file, owner.uid, owner.gid);
}
