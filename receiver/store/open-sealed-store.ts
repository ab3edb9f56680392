import type { KeyObject } from 'node:crypto';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { packName, parseSealedObjectName } from '../../shared/sealing/object-name.ts';
import { deviceIdOfKey } from '../../shared/identity/device-id.ts';
import { parseVersionRecord } from '../../shared/sealing/version-record.ts';
import type { SignerKey } from './agent-keys.ts';
import type { Damage } from './damage-index.ts';
import { HeldContent } from './held-content.ts';
import { LackingPacks } from './lacking-packs.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { openStore, type StoreDeps, type StoreOptions } from './open-store.ts';
import { salvageSealed, sealedObjects } from './sealed-salvage.ts';
import { SealedStore } from './sealed-store.ts';
import { versionFiles, noteLackingVersions } from './sealed-version-files.ts';
import { sealedLayout, type StoreLayout } from './store-layout.ts';
import { isRefusal, VersionChain } from './version-chain.ts';
import { versionKey, VersionIndex } from './version-index.ts';
import type { RefusedVersion } from './version-intake.ts';

export type SealedStoreDeps = StoreDeps & {
  /** The agent's public key; null as long as it is not known: no version is taken then. */
  agentKey: () => KeyObject | null;
  /** See SealedStoreParts. Where it is not given, that key alone. */
  signers?: () => readonly SignerKey[];
  /** Called for each version record that is not taken; the alarm is the callee's. */
  onRefused: (refused: RefusedVersion) => void;
};

/**
 * Opens the store of one sealed folder, making it where there is none. When it resolves, a batch that a crash cut off
 * is completed, the database says what the journal and the version records say, all of that is durable, and packs that
 * have vanished from the disk are known as missing.
 * @throws CodedError ALREADY_RUNNING, HOME_INVALID (another agent's, folder's or kind's data), STORE_FULL, DISK_FAILED
 */
export async function openSealedStore(deps: SealedStoreDeps, options: StoreOptions): Promise<SealedStore> {
  const layout = sealedLayout(options.directory);
  const parts = await openStore(deps, options, {
    folders: 'sealed',
    format: 'mastokeep-sealed-journal',
    layout,
    holdsFiles: (disk) => !sealedObjects(disk, layout).next().done,
    salvage: salvageSealed,
  });
  try {
    const held = new HeldContent({ ...deps, index: parts.index, copiesElsewhere: null }, layout);
    const versions = new VersionIndex(parts.index.database, (pack) => {
      const state = parts.index.live(packName(pack) as RelativePath)?.holding.state;
      return state?.kind === 'file' ? state.size : null;
    });
    const signers = deps.signers ?? ((): SignerKey[] => soleSigner(deps.agentKey()));
    indexVersions({ ...deps, signers }, options, parts.index, held, versions);
    const lacking = findLacking(deps, layout, parts.index, held, versions);
    const { agentKey, onRefused } = deps;
    return new SealedStore({
      ...parts,
      held,
      versions,
      folderId: options.folderId,
      agentKey,
      signers,
      onRefused,
      lacking,
    });
  } catch (error) {
    parts.journal.close();
    parts.index.close();
    parts.lock.release();
    throw error;
  }
}

/** Brings the index of versions up to the records that are held: all of them after the database was made anew. */
function indexVersions(
  { signers, onRefused }: Required<Pick<SealedStoreDeps, 'signers' | 'onRefused'>>,
  { folderId }: StoreOptions,
  index: MirrorIndex,
  held: HeldContent,
  versions: VersionIndex,
): void {
  const lost = versions.list().some(({ number, epoch }) => !isWhole(index, { number, epoch }));
  if (lost) versions.clear();
  const known = signers();
  const [first] = known;
  if (first === undefined) return;
  // one that names none of them is verified with the first, and refused
  const keyFor = (json: Buffer): KeyObject =>
    known.find(({ deviceId }) => names(json, deviceId))?.key ?? first.key;
  let chain = new VersionChain(versions, { keyFor, folder: folderId });
  for (const { number, epoch } of recordsIn(index)) {
    const [json, signature] = versionFiles({ number, epoch });
    const rows = [index.live(json), index.live(signature)];
    const receivedAt = Math.max(...rows.map((row) => row?.holding.receivedAt ?? Infinity));
    if (receivedAt === Infinity || versions.get(number, epoch) !== null) continue;
    const bytes = { json: held.readCurrent(json), signature: held.readCurrent(signature) };
    if (bytes.json === null || bytes.signature === null) continue;
    try {
      chain.accept({ number, epoch, json: bytes.json, signature: bytes.signature }, receivedAt);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      onRefused({ path: json, error });
    }
    if (chain.accepted.length < versionsAtOnce) continue;
    versions.add(chain.accepted);
    chain = new VersionChain(versions, { keyFor, folder: folderId });
  }
  versions.add(chain.accepted);
}

const versionsAtOnce = 100;
const rowsAtOnce = 1000;

/** Whether a version record, whoever wrote it, says that it is of that device. */
function names(json: Buffer, deviceId: string): boolean {
  try {
    return parseVersionRecord(json).agent === deviceId;
  } catch (error) {
    if (isRefusal(error)) return false;
    throw error;
  }
}

function soleSigner(key: KeyObject | null): SignerKey[] {
  if (key === null) return [];
  return [{ deviceId: deviceIdOfKey(key.export({ type: 'spki', format: 'der' })), name: 'agent.pem', key }];
}

function isWhole(index: MirrorIndex, version: { number: number; epoch: string }): boolean {
  return versionFiles(version).every((name) => index.live(name) !== null);
}

function* recordsIn(index: MirrorIndex): Generator<{ number: number; epoch: string }> {
  for (let after = 'versions/' as RelativePath; ;) {
    const rows = index.liveAfter(after, rowsAtOnce);
    for (const { path } of rows) {
      const name = parseSealedObjectName(path);
      if (name?.kind === 'version') yield { number: name.number, epoch: name.epoch };
    }
    if (rows.length < rowsAtOnce) return;
    after = rows.at(-1)?.path ?? after;
  }
}

/** What versions need and the disk does not have, and what the agent may still refer to. */
function findLacking(
  { disk, logger }: SealedStoreDeps,
  layout: StoreLayout,
  index: MirrorIndex,
  held: HeldContent,
  versions: VersionIndex,
): LackingPacks {
  const lacking = new LackingPacks();
  const found = new Set(sealedObjects(disk, layout));
  const all = versions.list();
  const absent = versions.packs().filter((hash) => {
    const path = packName(hash) as RelativePath;
    return !found.has(path) || index.live(path) === null;
  });
  const packs = new Set(absent.map((hash) => hash.toString('hex')));
  if (packs.size > 0) {
    logger.error({ packs: packs.size }, 'packs that versions need are missing');
    noteLackingVersions(packs, all, held, lacking);
  }
  for (const version of all) {
    if (!versionFiles(version).every((name) => found.has(name))) lacking.noteUnreadable(versionKey(version));
  }
  for (let after: Damage | null = null; ;) {
    const damaged: Damage[] = index.damage.after(after, rowsAtOnce);
    for (const { path } of damaged) {
      const name = parseSealedObjectName(path);
      if (name?.kind === 'pack') lacking.noteUnneeded(name.hash.toString('hex'));
    }
    if (damaged.length < rowsAtOnce) break;
    after = damaged.at(-1) ?? null;
  }
  const gone = versions.expired().filter((hash) => index.live(packName(hash) as RelativePath) === null);
  for (const hash of gone) lacking.noteUnneeded(hash.toString('hex'));
  return lacking;
}
