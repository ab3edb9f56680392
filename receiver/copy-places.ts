import fs from 'node:fs';
import path from 'node:path';
import { CodedError, systemErrorCode } from '../shared/errors/coded-error.ts';
import { isDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import { folderIdPattern } from '../shared/records/folder-id.ts';
import { isSealedDatabase } from './store/version-index.ts';

const databaseSuffix = '.db';

/** A folder of which something is, or was, held. */
export type HeldFolder = { agentId: DeviceId; folder: string };

export type FolderKind = 'mirror' | 'sealed';

type Options = {
  /** The directory of the copies; it is there while their disk is. */
  data: string;
  /** The directory of their databases; may not be there before the first. */
  databases: string;
};

/**
 * Where the copies are: each in a directory on the disk, `<data>/<agent>/<folder>`, which can be away, and with a
 * database in the home, which can be lost. Whatever it says it has just looked up; what is open it does not know, and
 * it writes nothing. Agents are named by the device after which their directory is named.
 */
export class CopyPlaces {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  directory(agentId: DeviceId, folder: string): string {
    return path.join(this.#options.data, agentId, folder);
  }

  databasePath(agentId: DeviceId, folder: string): string {
    return path.join(this.#options.databases, agentId, `${folder}${databaseSuffix}`);
  }

  /** Everything of which there is a directory or a database. @throws CodedError DISK_FAILED (cannot be listed) */
  all(): HeldFolder[] {
    const held = new Map(
      this.#withDatabase().map((folder) => [`${folder.agentId}/${folder.folder}`, folder]),
    );
    for (const agentId of directoriesIn(this.#options.data).filter(isDeviceId)) {
      for (const folder of directoriesIn(path.join(this.#options.data, agentId))) {
        if (folderIdPattern.test(folder)) held.set(`${agentId}/${folder}`, { agentId, folder });
      }
    }
    return [...held.values()];
  }

  /** Whether there is a directory or a database of it. @throws CodedError DISK_FAILED (cannot be listed) */
  isHeld(agentId: DeviceId, folder: string): boolean {
    return this.all().some((held) => held.agentId === agentId && held.folder === folder);
  }

  /** Whether there is anything that came from the device itself: folders or restore points. @throws CodedError DISK_FAILED */
  holdsOf(deviceId: DeviceId): boolean {
    const points = path.join(this.#options.data, deviceId, 'points');
    return fs.existsSync(points) || this.all().some(({ agentId }) => agentId === deviceId);
  }

  /** By its directory; by its database where that is gone; a mirror where there is neither. */
  kindOf(agentId: DeviceId, folder: string): FolderKind {
    const isSealed = this.hasVanished(agentId, folder)
      ? isSealedDatabase(this.databasePath(agentId, folder))
      : fs.existsSync(path.join(this.directory(agentId, folder), 'packs'));
    return isSealed ? 'sealed' : 'mirror';
  }

  /** Whether its directory is gone while there is a database of it. */
  hasVanished(agentId: DeviceId, folder: string): boolean {
    return (
      fs.existsSync(this.databasePath(agentId, folder)) && !fs.existsSync(this.directory(agentId, folder))
    );
  }

  vanished(): HeldFolder[] {
    return this.#withDatabase().filter(({ agentId, folder }) => this.hasVanished(agentId, folder));
  }

  /** Says that its directory is gone. */
  missing(agentId: DeviceId, folder: string): CodedError {
    const place = this.directory(agentId, folder);
    return new CodedError('DISK_FAILED', `${place} is missing, and it held a copy of folder ${folder}`, {
      hint: 'is the disk mounted? if the copy is really lost, "reindex" begins an empty one',
    });
  }

  /** Whether the disk with the copies seems not to be here: its directory is missing, or everything that was in it. */
  isDiskGone(): boolean {
    if (!fs.existsSync(this.#options.data)) return true;
    const held = this.#withDatabase();
    return held.length > 0 && held.every(({ agentId, folder }) => this.hasVanished(agentId, folder));
  }

  #withDatabase(): HeldFolder[] {
    const { databases } = this.#options;
    const agents = fs.existsSync(databases) ? directoriesIn(databases).filter(isDeviceId) : [];
    return agents.flatMap((agentId) =>
      fs
        .readdirSync(path.join(databases, agentId))
        .filter((name) => name.endsWith(databaseSuffix))
        .map((name) => name.slice(0, -databaseSuffix.length))
        .filter((folder) => folderIdPattern.test(folder))
        .map((folder) => ({ agentId, folder })),
    );
  }
}

function directoriesIn(directory: string): string[] {
  try {
    return fs
      .readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    throw new CodedError(
      'DISK_FAILED',
      `${directory} cannot be read: ${systemErrorCode(error) ?? String(error)}`,
      {
        hint: 'is the disk mounted? its directory is named in receiver.yaml as data',
        cause: error,
      },
    );
  }
}
