import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import path from 'node:path';
import { AgentQuota } from '../../receiver/store/agent-quota.ts';
import { openSealedStore, type SealedStoreDeps } from '../../receiver/store/open-sealed-store.ts';
import type { StoreOptions } from '../../receiver/store/open-store.ts';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import type { RefusedVersion } from '../../receiver/store/version-intake.ts';
import { deviceIdOfKey, type DeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import type { FileRecord, PathState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { packName, versionName, versionSignatureName } from '../../shared/sealing/object-name.ts';
import { recordHash, signRecord } from '../../shared/sealing/signed-record.ts';
import { encodeVersionRecord, type VersionRecord } from '../../shared/sealing/version-record.ts';
import { fileState, indexA, sha256 } from './store-fixture.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const epochA = '00000000000000aa';
export const epochB = '00000000000000bb';
const sealedFolder = 'database';

/** An agent's device key; the same in every process, so that a child that is killed signs as its parent does. */
export const agentPrivateKey: KeyObject = fixedKey();
export const agentPublicKey: KeyObject = createPublicKey(agentPrivateKey);
export const sealedAgentId: DeviceId = deviceIdOfKey(agentPublicKey.export({ type: 'spki', format: 'der' }));
/** Of a stranger. */
export const strangeKey: KeyObject = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;

export const strangePublicKey: KeyObject = createPublicKey(strangeKey);
export const strangeAgentId: DeviceId = deviceIdOfKey(
  strangePublicKey.export({ type: 'spki', format: 'der' }),
);

/** A version that the stranger says of itself. */
export function strangeVersionObjects(
  number: number,
  packs: readonly SealedObject[],
): ReturnType<typeof versionObjects> {
  return versionObjects(number, packs, { agent: strangeAgentId, key: strangeKey });
}

function fixedKey(): KeyObject {
  const key = process.env['MASTOKEEP_TEST_KEY'];
  if (key !== undefined) return createPrivate(key);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  process.env['MASTOKEEP_TEST_KEY'] = privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64');
  return privateKey;
}

function createPrivate(base64: string): KeyObject {
  return createPrivateKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'pkcs8' });
}

/** Everything that a sealed store needs, in its own directory. */
export function sealedStoreFixture(
  directory = temporaryDirectory(),
  deps: Partial<SealedStoreDeps> = {},
  options: Partial<StoreOptions> = {},
): { open: () => Promise<SealedStore>; root: string; databasePath: string; refused: RefusedVersion[] } {
  const root = path.join(directory, 'data', sealedAgentId, sealedFolder);
  const databasePath = path.join(directory, 'database.db');
  const refused: RefusedVersion[] = [];
  return {
    root,
    databasePath,
    refused,
    open: () =>
      openSealedStore(
        {
          disk: nodeDisk,
          logger: silentLogger,
          quota: new AgentQuota({ bytesMax: null, sealedReserve: 0 }),
          now: Date.now,
          agentKey: () => agentPublicKey,
          onRefused: (one) => refused.push(one),
          ...deps,
        },
        {
          directory: root,
          databasePath,
          agentId: sealedAgentId,
          folderId: sealedFolder,
          freeSpaceFloor: 0,
          partialDaysMax: 7,
          ...options,
        },
      ),
  };
}

export type SealedObject = { path: RelativePath; content: Buffer };

/** What a receiver takes for a pack: any bytes under the name that they have. */
export function packObject(text: string): SealedObject {
  const content = Buffer.from(`pack ${text} `.repeat(40));
  return { path: packName(sha256(content)) as RelativePath, content };
}

export type RecordFields = Partial<Omit<VersionRecord, 'packs' | 'root'>> & { key?: KeyObject };

/** A version that needs the packs (the first is its root): record and signature. */
export function versionObjects(
  number: number,
  packs: readonly SealedObject[],
  { key = agentPrivateKey, ...fields }: RecordFields = {},
): { json: SealedObject; signature: SealedObject; hash: string } {
  const named = packs.map(({ content }): [string, number] => [
    sha256(content).toString('hex'),
    content.length,
  ]);
  const record: VersionRecord = {
    agent: sealedAgentId,
    folder: sealedFolder,
    epoch: epochA,
    number,
    createdAt: '2026-11-21T08:40:00.000Z',
    previous: null,
    root: named[0]?.[0] ?? '',
    packs: named,
    recipients: ['0123456789ABCDEF'],
    ...fields,
  };
  const content = encodeVersionRecord(record);
  return {
    json: { path: versionName(record) as RelativePath, content },
    signature: {
      path: versionSignatureName(record) as RelativePath,
      content: signRecord(content, key),
    },
    hash: recordHash(content),
  };
}

/** What an agent announces and sends of a sealed folder, with its own count of sequences. */
export class SealedFeedFake {
  indexId: Buffer = indexA;
  sequence = 0;
  readonly #store: () => SealedStore;

  constructor(store: () => SealedStore) {
    this.#store = store;
  }

  /** Takes a batch to the store as a receiver does: need, stage, commit. `gone`: announced, then not sent. */
  async send(
    objects: readonly SealedObject[],
    { gone = [], states = new Map() }: { gone?: SealedObject[]; states?: Map<string, PathState> } = {},
  ): Promise<void> {
    const store = this.#store();
    const records = objects.map(({ path, content }): FileRecord => {
      this.sequence += 1;
      return { path, sequence: this.sequence, replaces: null, state: states.get(path) ?? fileState(content) };
    });
    for (const [at, record] of records.entries()) {
      const content = objects[at]?.content ?? Buffer.alloc(0);
      if (store.need(record) === 'fetch') store.stage(sha256(content), content);
    }
    const missing = gone.map(({ path, content }): FileRecord => {
      this.sequence += 1;
      return { path, sequence: this.sequence, replaces: null, state: fileState(content) };
    });
    const batch = { records, missing, through: this.sequence, isHead: true };
    await store.commit({ ...this.position(), ...batch });
  }

  position(): { indexId: Buffer; sequence: number; token: Buffer } {
    return { indexId: this.indexId, sequence: this.sequence, token: sha256(`${this.sequence}`) };
  }
}
