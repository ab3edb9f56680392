import type { KeyObject } from 'node:crypto';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import {
  packName,
  parseSealedObjectName,
  versionName,
  versionSignatureName,
} from '../../shared/sealing/object-name.ts';
import { HeldContent } from './held-content.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { openStore, type StoreDeps, type StoreOptions } from './open-store.ts';
import { salvageSealed, sealedObjects } from './sealed-salvage.ts';
import { SealedStore, type RefusedVersion } from './sealed-store.ts';
import { sealedLayout, type StoreLayout } from './store-layout.ts';
import { isRefusal, VersionChain } from './version-chain.ts';
import { VersionIndex } from './version-index.ts';

export type SealedStoreDeps = StoreDeps & {
  /** The agent's public key; null as long as it is not known: no version is taken then. */
  agentKey: () => KeyObject | null;
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
    const versions = new VersionIndex(parts.index.database);
    indexVersions(deps, options, parts.index, held, versions);
    const missing = findMissing(deps, layout, parts.index, versions);
    if (missing.size > 0) deps.logger.error({ packs: missing.size }, 'packs that versions need are missing');
    const { agentKey, onRefused } = deps;
    return new SealedStore({
      ...parts,
      held,
      versions,
      folderId: options.folderId,
      agentKey,
      onRefused,
      missing,
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
  { agentKey, onRefused }: SealedStoreDeps,
  { folderId }: StoreOptions,
  index: MirrorIndex,
  held: HeldContent,
  versions: VersionIndex,
): void {
  const lost = versions.list().some(({ number, epoch }) => !isWhole(index, { number, epoch }));
  if (lost) versions.clear();
  const key = agentKey();
  if (key === null) return;
  let chain = new VersionChain(versions, { key, folder: folderId });
  for (const { number, epoch } of recordsIn(index)) {
    const [json, signature] = [versionName({ number, epoch }), versionSignatureName({ number, epoch })];
    const rows = [index.live(json as RelativePath), index.live(signature as RelativePath)];
    const receivedAt = Math.max(...rows.map((row) => row?.holding.receivedAt ?? Infinity));
    if (receivedAt === Infinity || versions.get(number, epoch) !== null) continue;
    const bytes = { json: readAll(held, json), signature: readAll(held, signature) };
    if (bytes.json === null || bytes.signature === null) continue;
    try {
      chain.accept({ number, epoch, json: bytes.json, signature: bytes.signature }, receivedAt);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      onRefused({ path: json as RelativePath, error });
    }
    if (chain.accepted.length < versionsAtOnce) continue;
    versions.add(chain.accepted);
    chain = new VersionChain(versions, { key, folder: folderId });
  }
  versions.add(chain.accepted);
}

const versionsAtOnce = 100;

function isWhole(index: MirrorIndex, version: { number: number; epoch: string }): boolean {
  return [versionName(version), versionSignatureName(version)].every(
    (name) => index.live(name as RelativePath) !== null,
  );
}

function* recordsIn(index: MirrorIndex): Generator<{ number: number; epoch: string }> {
  const rowsAtOnce = 1000;
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

function findMissing(
  { disk }: SealedStoreDeps,
  layout: StoreLayout,
  index: MirrorIndex,
  versions: VersionIndex,
): Set<string> {
  const found = new Set(sealedObjects(disk, layout));
  const lacking = versions.packs().filter((hash) => {
    const path = packName(hash) as RelativePath;
    return !found.has(path) || index.live(path) === null;
  });
  return new Set(lacking.map((hash) => hash.toString('hex')));
}

function readAll(held: HeldContent, path: string): Buffer | null {
  const content = held.openCurrent(path as RelativePath);
  if (content === null) return null;
  try {
    return content.read(0, content.size);
  } finally {
    content.close();
  }
}
