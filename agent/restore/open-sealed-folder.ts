import { CodedError } from '../../shared/errors/coded-error.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { UnsealerSource } from './command-unsealers.ts';
import type { PathFilter } from './path-filter.ts';
import type { RestoreLink } from './restore-link.ts';
import { SealedContent } from './sealed-content.ts';
import { SealedObjects } from './sealed-objects.ts';
import { planSealed, type SealedPlan } from './sealed-restore.ts';
import {
  findSigners,
  findVersion,
  findVersions,
  isNewer,
  listVersions,
  type FoundVersion,
  type Signers,
} from './sealed-version.ts';

/** What the signed record of a version tells without any key. Times ISO 8601. */
export type ToldVersion = {
  number: number;
  epoch: string;
  /** By the clock of the agent. */
  createdAt: string;
  /** By the clock of the receiver: `--at` and the choice of the latest go by this one. */
  receivedAt: string;
  packs: number;
  /** All of its packs, as they are sealed. */
  sealedBytes: number;
  /** Packs that the receiver does not hold: with any, it cannot be restored from there. */
  packsLacking: number;
};

/** What is said of the version that a restore takes. */
export type ChosenVersion = ToldVersion & {
  signer: DeviceId;
  /** False: nobody named the agent, so the signer may be anybody. */
  signerVerified: boolean;
  /** What it was made from: postgres, paths, command; null as long as it was not opened. */
  source: string | null;
};

export type OpenedSealedFolder = SealedPlan & {
  version: ChosenVersion;
  content: SealedContent;
};

type Deps = {
  link: RestoreLink;
  unsealers: UnsealerSource;
  note: (line: string) => void;
};

type Query = {
  folder: string;
  at: number;
  filter: PathFilter;
  /** Who must have signed; null: whoever did is told. */
  agentId: DeviceId | null;
  /** The version that a restore point names; null: the newest complete one of that moment. */
  version: { epoch: string; number: number; record: string } | null;
};

/** The version that a restore of that moment takes, with its record verified. Nothing is opened. */
async function chooseVersion(
  { link, note }: Pick<Deps, 'link' | 'note'>,
  { folder, at, agentId, version }: Omit<Query, 'filter'>,
): Promise<{ objects: SealedObjects; signers: Signers; found: FoundVersion; version: ChosenVersion }> {
  const objects = await SealedObjects.list(link, folder, at);
  const signers = await findSigners(objects, agentId);
  const found =
    version === null
      ? await newestVersion(objects, folder, signers, note)
      : await namedVersion(objects, { folder, ...version }, signers);
  const { agent: signer } = found.record;
  if (agentId === null) {
    note(
      `signer unverified: folder ${folder} is signed by ${signer}; ` +
        'compare it with the recovery sheet, or name it in full by --agent',
    );
  }
  const signed = { signer, signerVerified: agentId !== null };
  return { objects, signers, found, version: { ...tell(found), ...signed, source: null } };
}

async function newestVersion(
  objects: SealedObjects,
  folder: string,
  signers: Signers,
  note: Deps['note'],
): Promise<FoundVersion> {
  const { newest, incomplete, passedOver } = await findVersions(objects, folder, signers);
  const [found] = newest;
  const [lacking] = incomplete;
  const [other] = passedOver;
  if (other !== undefined && (found === undefined || isNewer(other, found))) {
    note(
      `${shown(other)} of folder ${folder} is signed by ${other.record.agent} and passed over: where that server goes on ` +
        'with the data of the one that is named, name it by --agent',
    );
  }
  if (found === undefined) {
    throw lacking === undefined
      ? new CodedError(
          'RESTORE_NOTHING_FOUND',
          `the receiver holds no version of folder ${folder} of that time`,
        )
      : lacksPacks(folder, lacking);
  }
  if (lacking !== undefined && isNewer(lacking, found)) {
    note(`${shown(lacking)} of folder ${folder} lacks ${packs(lacking)}: ${shown(found)} is restored`);
  }
  return found;
}

/** @throws CodedError RECORD_FORGED, RECORD_INVALID, CONTENT_GONE */
async function namedVersion(
  objects: SealedObjects,
  version: { folder: string; epoch: string; number: number; record: string },
  signers: Signers,
): Promise<FoundVersion> {
  const found = await findVersion(objects, version, signers);
  if (found.lacking > 0) throw lacksPacks(version.folder, found);
  return found;
}

function lacksPacks(folder: string, lacking: FoundVersion): CodedError {
  return new CodedError(
    'CONTENT_GONE',
    `${shown(lacking)} of folder ${folder} lacks ${packs(lacking)} on the receiver`,
    { hint: 'another receiver may have them, or another moment a version that is complete' },
  );
}

/**
 * What a restore of that moment would take, and what else is held, by the signed records alone: no key is needed.
 * @throws CodedError RECORD_FORGED, RECORD_INVALID, CONTENT_GONE, RESTORE_NOTHING_FOUND
 */
export async function describeSealedFolder(
  deps: Pick<Deps, 'link' | 'note'>,
  query: Omit<Query, 'filter'>,
): Promise<{ version: ChosenVersion; versions: ToldVersion[] }> {
  const { objects, signers, version } = await chooseVersion(deps, query);
  const versions = await listVersions(objects, query.folder, signers);
  return { version, versions: versions.map(tell) };
}

function tell({ record, receivedAt: receivedAtMs, lacking }: FoundVersion): ToldVersion {
  const { number, epoch, createdAt, packs } = record;
  const receivedAt = new Date(receivedAtMs).toISOString();
  const sealedBytes = packs.reduce((sum, [, bytes]) => sum + bytes, 0);
  return { number, epoch, createdAt, receivedAt, packs: packs.length, sealedBytes, packsLacking: lacking };
}

/**
 * The version of that moment with its manifest opened and checked.
 * @throws CodedError KEY_WRONG, KEY_INVALID, RECORD_FORGED, RECORD_INVALID, PACK_CORRUPT, MANIFEST_INVALID, CONTENT_GONE, RESTORE_NOTHING_FOUND
 */
export async function openSealedFolder(deps: Deps, query: Query): Promise<OpenedSealedFolder> {
  const { objects, found, version } = await chooseVersion(deps, query);
  const unsealer = await deps.unsealers.open(found.record.recipients.length === 0 ? 'passphrase' : 'keys');
  const content = new SealedContent({ objects, unsealer }, found.record);
  const root = await content.readRoot();
  const entries = await content.readEntries(root);
  const planned = planSealed(query.folder, entries, query.filter);
  return { ...planned, version: { ...version, source: root.source.kind }, content };
}

function shown({ record: { number, createdAt } }: FoundVersion): string {
  return `version ${number}, made ${createdAt},`;
}

function packs({ lacking }: FoundVersion): string {
  return lacking === 1 ? 'a pack' : `${lacking} packs`;
}
