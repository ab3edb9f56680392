import { CodedError } from '../../shared/errors/coded-error.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { Unsealer } from '../../shared/sealing/unsealer.ts';
import type { PathFilter } from './path-filter.ts';
import type { RestoreLink } from './restore-link.ts';
import { SealedContent } from './sealed-content.ts';
import { SealedObjects } from './sealed-objects.ts';
import { planSealed, type SealedPlan } from './sealed-restore.ts';
import { findSigner, findVersions, type FoundVersion } from './sealed-version.ts';

/** What is said of the version that a restore took. `createdAt`: ISO 8601. */
export type ChosenVersion = {
  number: number;
  epoch: string;
  createdAt: string;
  signer: DeviceId;
  /** False: nobody named the agent, so the signer may be anybody. */
  signerVerified: boolean;
  /** What it was made from: postgres, paths, command; null as long as it was not opened. */
  source: string | null;
};

/** Makes what opens packs: sealed to keys, or by a passphrase. @throws CodedError KEY_INVALID, KEY_WRONG, USAGE */
export type OpenUnsealer = (sealedTo: 'keys' | 'passphrase') => Promise<Unsealer>;

export type OpenedSealedFolder = SealedPlan & {
  version: ChosenVersion;
  content: SealedContent;
};

type Deps = {
  link: RestoreLink;
  openUnsealer: OpenUnsealer;
  note: (line: string) => void;
  onBytes: (bytes: number) => void;
};

type Query = {
  folder: string;
  at: number;
  filter: PathFilter;
  /** Who must have signed; null: whoever did is told. */
  agentId: DeviceId | null;
};

/** The version that a restore of that moment takes, with its record verified. Nothing is opened. */
async function chooseVersion(
  { link, note }: Pick<Deps, 'link' | 'note'>,
  { folder, at, agentId }: Omit<Query, 'filter'>,
): Promise<{ objects: SealedObjects; found: FoundVersion; version: ChosenVersion }> {
  const objects = await SealedObjects.list(link, folder, at);
  const signer = await findSigner(objects, agentId);
  const { newest, incomplete } = await findVersions(objects, folder, signer);
  const [found] = newest;
  const [lacking] = incomplete;
  if (found === undefined) {
    throw lacking === undefined
      ? new CodedError(
          'RESTORE_NOTHING_FOUND',
          `the receiver holds no version of folder ${folder} of that time`,
        )
      : new CodedError(
          'CONTENT_GONE',
          `${shown(lacking)} of folder ${folder} lacks ${lacking.lacking} packs on the receiver`,
          {
            hint: 'another receiver may have them, or another moment a version that is complete',
          },
        );
  }
  if (lacking !== undefined && lacking.record.createdAt > found.record.createdAt) {
    note(`${shown(lacking)} of folder ${folder} lacks ${lacking.lacking} packs: ${shown(found)} is restored`);
  }
  if (!signer.verified) {
    note(
      `signer unverified: folder ${folder} is signed by ${signer.deviceId}; ` +
        'compare it with the recovery sheet, or name it by --agent',
    );
  }
  const { number, epoch, createdAt } = found.record;
  const signed = { signer: signer.deviceId, signerVerified: signer.verified };
  const version = { number, epoch, createdAt, ...signed, source: null };
  return { objects, found, version };
}

/**
 * The version of that moment with its manifest opened and checked.
 * @throws CodedError KEY_WRONG, KEY_INVALID, RECORD_FORGED, RECORD_INVALID, PACK_CORRUPT, MANIFEST_INVALID, CONTENT_GONE, RESTORE_NOTHING_FOUND
 */
export async function openSealedFolder(deps: Deps, query: Query): Promise<OpenedSealedFolder> {
  const { objects, found, version } = await chooseVersion(deps, query);
  const unsealer = await deps.openUnsealer(found.record.recipients.length === 0 ? 'passphrase' : 'keys');
  const content = new SealedContent({ objects, unsealer, onBytes: deps.onBytes }, found.record);
  const root = await content.readRoot();
  const entries = await content.readEntries(root);
  const planned = planSealed(query.folder, entries, query.filter);
  return { ...planned, version: { ...version, source: root.source.kind }, content };
}

function shown({ record: { number, createdAt } }: FoundVersion): string {
  return `version ${number} of ${createdAt}`;
}
