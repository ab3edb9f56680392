import type { KeyObject } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { UnsealerSource } from '../../agent/restore/command-unsealers.ts';
import type { RestoreResult, RunRestoreOptions } from '../../agent/restore/run-restore.ts';
import type { HistoryStore } from '../../receiver/serve/restore-history.ts';
import { AgentKey } from '../../receiver/store/agent-key.ts';
import { AgentQuota } from '../../receiver/store/agent-quota.ts';
import { openSealedStore } from '../../receiver/store/open-sealed-store.ts';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { generateKeyPair, type GeneratedKeyPair } from '../../shared/sealing/key-pair.ts';
import { loadRecipients } from '../../shared/sealing/recipient.ts';
import { Sealer } from '../../shared/sealing/sealer.ts';
import type { ChannelPairOptions } from './channel-pair.ts';
import { ReceiverDirectory, type TreeEntry } from './receiver-directory.ts';
import { restoreFrom } from './restore-bench.ts';
import { sealedReceiver, type Lie } from './sealed-receiver.ts';
import { unsealersOf } from './unsealers-of.ts';

export const keyPassphrase = 'correct horse battery staple';

type RestoreCall = Partial<RunRestoreOptions> & {
  unsealers?: UnsealerSource | null;
  folder?: string;
  lie?: Lie;
  /** Other folders that the receiver holds of the agent. */
  beside?: Iterable<[string, HistoryStore]>;
  onMessage?: ChannelPairOptions['onMessage'];
};

export type SealedKeys = { pair: GeneratedKeyPair; sealer: Sealer };

export async function createSealedKeys(name: string): Promise<SealedKeys> {
  const pair = await generateKeyPair({ name, email: `${name}@example.org` }, keyPassphrase);
  const recipients = await loadRecipients([{ name, content: pair.publicArmored }]);
  return { pair, sealer: await Sealer.toRecipients(recipients) };
}

/**
 * A sealed folder `database` on a receiver that has lost journal and database, so that everything comes from the plain
 * files, and restores of it over links in memory.
 */
export class SealedRestoreBench {
  readonly directory: string;
  readonly data: ReceiverDirectory;
  readonly target: string;
  readonly notes: string[] = [];
  readonly keyFile: string;
  readonly passphraseFile: string;
  /** The receiver's clock. */
  now: () => number = Date.now;
  readonly #keys: SealedKeys;
  #store: SealedStore | null = null;

  constructor(
    directory: string,
    keys: SealedKeys,
    packBytes = 1_500_000,
    { deviceKey, blockBytes = 50_000 }: { deviceKey?: KeyObject; blockBytes?: number } = {},
  ) {
    this.directory = directory;
    this.#keys = keys;
    this.data = new ReceiverDirectory(path.join(directory, 'data'), {
      folder: 'database',
      sealer: keys.sealer,
      blockBytes,
      packBytes,
      ...(deviceKey === undefined ? {} : { deviceKey }),
    });
    this.target = path.join(directory, 'restored');
    this.keyFile = path.join(directory, 'key.asc');
    this.passphraseFile = path.join(directory, 'passphrase');
    fs.writeFileSync(this.keyFile, keys.pair.privateArmored);
    fs.writeFileSync(this.passphraseFile, `${keyPassphrase}\n`);
  }

  async serve(folder = 'database'): Promise<SealedStore> {
    const { agent } = this.data;
    const agentDirectory = path.join(this.directory, 'data', agent);
    const key = new AgentKey(agent, { directory: agentDirectory });
    this.#store ??= await openSealedStore(
      {
        disk: nodeDisk,
        logger: silentLogger,
        quota: new AgentQuota({ bytesMax: null, sealedReserve: 0 }),
        now: () => this.now(),
        agentKey: () => key.read(),
        onRefused: () => {},
      },
      {
        directory: path.join(agentDirectory, folder),
        databasePath: path.join(this.directory, `${folder}.db`),
        agentId: agent,
        folderId: folder,
        freeSpaceFloor: 0,
        partialDaysMax: 7,
      },
    );
    return this.#store;
  }

  async restore(call: RestoreCall = {}): Promise<RestoreResult> {
    const {
      folder = 'database',
      unsealers = this.unsealers(this.#keys.pair),
      lie,
      beside = [],
      onMessage,
      ...rest
    } = call;
    const agentId = this.data.agent;
    const nextChannel = sealedReceiver(await this.serve(folder), {
      agentId,
      now: this.now,
      folder,
      beside,
      ...(lie === undefined ? {} : { lie }),
      ...(onMessage === undefined ? {} : { onMessage }),
    });
    const options = { to: this.target, folders: [folder], agentId, ...rest };
    return restoreFrom({ nextChannel, notes: this.notes }, options, () => null, unsealers);
  }

  /** Opens with that private key, as `restore --key` does. */
  unsealers(pair: GeneratedKeyPair, passphrase = keyPassphrase): UnsealerSource {
    return unsealersOf(pair, this.directory, passphrase);
  }

  expectTree(tree: readonly TreeEntry[]): void {
    for (const entry of tree) {
      const place = path.join(this.target, 'database', entry.path);
      const found = fs.lstatSync(place);
      if (entry.type === 'symlink') expect(fs.readlinkSync(place)).toBe(entry.target);
      else expect(found.mode & 0o7777, entry.path).toBe(entry.mode);
      if (entry.type === 'file') expect(fs.readFileSync(place).equals(entry.content), entry.path).toBe(true);
    }
  }

  /** Not a file, whole or in part, and no directory: as if nothing had been tried. */
  expectNothingRestored(): void {
    expect(this.restoredNames()).toEqual([]);
  }

  restoredNames(): string[] {
    const place = path.join(this.target, 'database');
    return fs.existsSync(place) ? fs.readdirSync(place, { recursive: true, encoding: 'utf8' }).sort() : [];
  }

  packFiles(): string[] {
    const packs = path.join(this.data.folderDirectory, 'packs');
    return fs.readdirSync(packs).map((name) => path.join(packs, name));
  }

  /** The receiver loses its database once more, and finds what was added since. */
  async forget(): Promise<void> {
    await this.#store?.close();
    this.#store = null;
    for (const name of fs.readdirSync(this.directory)) {
      if (name.startsWith('database.db')) fs.rmSync(path.join(this.directory, name));
    }
    fs.rmSync(path.join(this.data.folderDirectory, 'journal'), { recursive: true, force: true });
  }

  async close(): Promise<void> {
    await this.#store?.close();
    fs.rmSync(this.directory, { recursive: true });
  }
}
