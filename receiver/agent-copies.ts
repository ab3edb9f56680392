import type { KeyObject } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { CodedError } from '../shared/errors/coded-error.ts';
import { resolveDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import type { Disk } from '../shared/io/disk.ts';
import type { Home } from '../shared/io/home.ts';
import type { Logger } from '../shared/io/logger.ts';
import { limits } from '../shared/protocol/limits.ts';
import type { ReceiverConfig } from './config.ts';
import { CopyPlaces, type FolderKind, type HeldFolder } from './copy-places.ts';
import type { VersionRetention } from './retention/version-retention.ts';
import { Successions } from './successions.ts';
import { AgentQuota } from './store/agent-quota.ts';
import { AgentKeys, type SignerKey } from './store/agent-keys.ts';
import type { MirrorStore } from './store/mirror-store.ts';
import type { BatchFiles } from './store/batch-files.ts';
import { openMirrorStore } from './store/open-mirror-store.ts';
import { openSealedStore } from './store/open-sealed-store.ts';
import type { HeldCopy } from './store/readable-content.ts';
import type { SealedStore } from './store/sealed-store.ts';
import type { RefusedVersion } from './store/version-intake.ts';

/** What waits in `incoming/` for a transfer to go on is dropped after so long. */
const partialDaysMax = 7;

type Deps = {
  home: Home;
  config: ReceiverConfig;
  disk: Disk;
  /** Does the file work of batches on that disk; the caller's thread where left out. */
  files?: BatchFiles;
  logger: Logger;
  now: () => number;
  /** Called for each version record of a sealed folder that is not taken. */
  onRefused: (agentId: DeviceId, folder: string, refused: RefusedVersion) => void;
};

export type AgentStore = MirrorStore | SealedStore;

type AgentCopy = {
  quota: AgentQuota;
  keys: AgentKeys;
  stores: Map<string, AgentStore>;
  opening: Map<string, Promise<AgentStore>>;
};

/**
 * The open stores of all agents, each apart and of its own directory and database: at most one of a folder, open from
 * its first use until `close`. None is begun in place of a copy that is missing, unless a person says so.
 */
export class AgentCopies {
  readonly #deps: Deps;
  readonly #databases: string;
  readonly #agents = new Map<DeviceId, AgentCopy>();
  /** What there is of the copies, open or not. */
  readonly places: CopyPlaces;
  /** Agents are named, here and below, by the device after which their directory is named. */
  readonly successions: Successions;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { data } = deps.config;
    this.#databases = path.join(deps.home.directory, 'db');
    this.places = new CopyPlaces({ data, databases: this.#databases });
    this.successions = new Successions({ directory: data, spareDirectory: this.#databases });
  }

  /**
   * Opens every store that there was; one that cannot be opened, or is no longer on the disk, is left out and reported.
   * @throws CodedError DISK_FAILED when the data directory cannot be read
   */
  async openAll(): Promise<(HeldFolder & { error: unknown })[]> {
    const failures: (HeldFolder & { error: unknown })[] = [];
    for (const { agentId, folder } of this.places.all()) {
      try {
        await this.open(agentId, folder);
      } catch (error) {
        failures.push({ agentId, folder, error });
      }
    }
    return failures;
  }

  /** Keeps the public key (SPKI DER) of the agent, or of one that goes on with its data: it signs versions and points. */
  learnKey(agentId: DeviceId, publicKey: Buffer): void {
    this.#agent(agentId).keys.learn(publicKey);
  }

  /** The same of a device that is to go on with the agent's data. */
  adoptKey(agentId: DeviceId, deviceId: DeviceId, publicKey: Buffer): void {
    this.#agent(agentId).keys.adopt(deviceId, publicKey);
  }

  /** Writes the files of keys again that were damaged, and gives their names. @throws a system error */
  mendKeys(agentId: DeviceId): string[] {
    return this.#agent(agentId).keys.mend();
  }

  /** Of the device that goes on with the agent's data; null as long as it is not known. */
  agentKey(agentId: DeviceId): KeyObject | null {
    return this.#agent(agentId).keys.current();
  }

  /** The keys that what is held of the agent may be signed with. */
  signersOf(agentId: DeviceId): SignerKey[] {
    return this.#agent(agentId).keys.signers();
  }

  /**
   * The store of one folder, made where there never was one: of that kind, or (null) of the kind that is on the disk.
   * `beginsAnew`: a person says that the disk is here, whatever is missing on it.
   * @throws CodedError DISK_FAILED (there was one, and its disk is not here), QUOTA_REACHED (too many folders),
   *   PROTOCOL_VIOLATION (of the other kind here), those of openMirrorStore and openSealedStore
   */
  async open(
    agentId: DeviceId,
    folder: string,
    kind: FolderKind | null = null,
    beginsAnew = false,
  ): Promise<AgentStore> {
    const agent = this.#agent(agentId);
    const store = agent.stores.get(folder);
    if (store !== undefined) return ofKind(store, folder, kind);
    const found = kind ?? this.places.kindOf(agentId, folder);
    const opening = agent.opening.get(folder) ?? this.#open(agentId, folder, found, agent, beginsAnew);
    agent.opening.set(folder, opening);
    try {
      return ofKind(await opening, folder, kind);
    } finally {
      agent.opening.delete(folder);
    }
  }

  /** The open store of a folder. @throws CodedError FOLDER_UNKNOWN, DISK_FAILED (its disk is not here) */
  get(agentId: DeviceId, folder: string): AgentStore {
    const store = this.#agents.get(agentId)?.stores.get(folder);
    if (store !== undefined) return store;
    if (this.places.hasVanished(agentId, folder)) throw this.places.missing(agentId, folder);
    const known = this.foldersOf(agentId).map(([id]) => id);
    throw new CodedError('FOLDER_UNKNOWN', `folder "${folder}" is not held of this agent`, {
      hint: known.length === 0 ? 'nothing is held of it' : `there is ${known.join(', ')}`,
    });
  }

  /** The agents of whom something is held, in the order of their IDs. */
  agentIds(): DeviceId[] {
    return [...this.#agents.entries()]
      .filter(([, { stores }]) => stores.size > 0)
      .map(([agentId]) => agentId)
      .sort();
  }

  /** The open stores of one agent, sorted by folder id. */
  foldersOf(agentId: DeviceId): [string, AgentStore][] {
    const stores = this.#agents.get(agentId)?.stores ?? new Map<string, AgentStore>();
    return [...stores.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  quotaOf(agentId: DeviceId): AgentQuota {
    return this.#agent(agentId).quota;
  }

  quotaBytesOf(agentId: DeviceId): number | null {
    const { quotas, quotaBytes } = this.#deps.config;
    for (const deviceId of this.successions.devicesOf(agentId).toReversed()) {
      for (const [text, bytes] of quotas) if (resolvesTo(text, deviceId)) return bytes;
    }
    return quotaBytes;
  }

  /** How long versions of a mirror folder are kept beyond what restore points need. */
  retentionOf(agentId: DeviceId, folder: string): VersionRetention {
    const { versions, folderVersions } = this.#deps.config;
    for (const deviceId of this.successions.devicesOf(agentId).toReversed()) {
      for (const [text, folders] of folderVersions) {
        const own = folders.get(folder);
        if (own !== undefined && resolvesTo(text, deviceId)) return own;
      }
    }
    return versions;
  }

  /** Folders of which there is something, on the disk or in the home, that are not open. @throws CodedError DISK_FAILED */
  closed(): HeldFolder[] {
    return this.places.all().filter(({ agentId, folder }) => !this.#agents.get(agentId)?.stores.has(folder));
  }

  /**
   * Closes a store and opens it again with a database that is built anew from the plain files. A store that is gone
   * from the disk begins empty: whoever asks for this has looked whether the disk is there.
   */
  async reindex(agentId: DeviceId, folder: string): Promise<AgentStore> {
    const kind = this.#agents.get(agentId)?.stores.get(folder)?.kind ?? this.places.kindOf(agentId, folder);
    await this.closeStore(agentId, folder);
    for (const suffix of ['', '-wal', '-shm']) {
      fs.rmSync(`${this.places.databasePath(agentId, folder)}${suffix}`, { force: true });
    }
    return this.open(agentId, folder, kind, true);
  }

  /** Waits for what is under way in the store and forgets it until it is opened again. */
  async closeStore(agentId: DeviceId, folder: string): Promise<void> {
    const agent = this.#agent(agentId);
    await agent.opening.get(folder)?.catch(() => null);
    const store = agent.stores.get(folder);
    agent.stores.delete(folder);
    await store?.close();
  }

  /** Waits for what is under way; nothing is open when it resolves. */
  async close(): Promise<void> {
    for (const [agentId, { stores }] of this.#agents) {
      for (const folder of stores.keys()) await this.closeStore(agentId, folder);
    }
  }

  async #open(
    agentId: DeviceId,
    folder: string,
    kind: FolderKind,
    agent: AgentCopy,
    beginsAnew: boolean,
  ): Promise<AgentStore> {
    const { config, disk, files, logger, now, onRefused } = this.#deps;
    if (this.places.hasVanished(agentId, folder)) throw this.places.missing(agentId, folder);
    if (!beginsAnew && this.places.isDiskGone()) {
      throw new CodedError('DISK_FAILED', `nothing of what ${config.data} held is there`, {
        hint: 'is the disk mounted? if the copies are really lost, "reindex" begins empty ones',
      });
    }
    if (agent.stores.size + agent.opening.size >= limits.foldersMax) {
      throw new CodedError(
        'QUOTA_REACHED',
        `${limits.foldersMax} folders of this agent are held, and no more are taken`,
        {
          hint: 'to make place, stop the receiver and remove a folder that is no longer wanted: <data>/<agent>/<folder>, and <home>/db/<agent>/<folder>.db*',
        },
      );
    }
    const deps = {
      disk,
      ...(files === undefined ? {} : { files }),
      logger: logger.child({ agentId, folder }),
      quota: agent.quota,
      now,
    };
    const options = {
      directory: this.places.directory(agentId, folder),
      databasePath: this.places.databasePath(agentId, folder),
      agentId,
      folderId: folder,
      freeSpaceFloor: config.freeSpaceFloor,
      partialDaysMax,
    };
    const store =
      kind === 'sealed'
        ? await openSealedStore(
            {
              ...deps,
              agentKey: () => agent.keys.current(),
              signers: () => agent.keys.signers(),
              onRefused: (refused) => onRefused(agentId, folder, refused),
            },
            options,
          )
        : await openMirrorStore(
            {
              ...deps,
              copiesElsewhere: (hash) => this.#copiesBeside(agentId, folder, hash),
            },
            {
              ...options,
              retention: this.retentionOf(agentId, folder),
            },
          );
    agent.stores.set(folder, store);
    return store;
  }

  /** Copies in the other mirror folders of the agent. */
  #copiesBeside(agentId: DeviceId, folder: string, hash: Buffer): HeldCopy[] {
    return this.foldersOf(agentId).flatMap(([id, store]) =>
      id === folder || store.kind === 'sealed' ? [] : store.copies(hash),
    );
  }

  #agent(agentId: DeviceId): AgentCopy {
    const known = this.#agents.get(agentId);
    if (known !== undefined) return known;
    const { config } = this.#deps;
    const bytesMax = this.quotaBytesOf(agentId);
    const quota = new AgentQuota({ bytesMax, sealedReserve: config.sealedReserve });
    const keys = new AgentKeys({
      directory: path.join(config.data, agentId),
      spareDirectory: path.join(this.#databases, agentId),
      devices: () => this.successions.devicesOf(agentId),
    });
    const agent: AgentCopy = { quota, keys, stores: new Map(), opening: new Map() };
    this.#agents.set(agentId, agent);
    return agent;
  }
}

/** @throws CodedError PROTOCOL_VIOLATION: the folder is of the other kind here */
function ofKind(store: AgentStore, folder: string, kind: FolderKind | null): AgentStore {
  if (kind === null || store.kind === kind) return store;
  throw new CodedError('PROTOCOL_VIOLATION', `folder ${folder} is held as ${store.kind}, not as ${kind}`, {
    hint: 'a folder cannot change its kind: give it another id on the agent',
  });
}

function resolvesTo(text: string, agentId: DeviceId): boolean {
  try {
    return resolveDeviceId(text, [agentId]) === agentId;
  } catch {
    return false;
  }
}
