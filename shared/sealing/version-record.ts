import type { KeyObject } from 'node:crypto';
import * as z from 'zod';
import { folderIdPattern } from '../records/folder-id.ts';
import { sealedLimits } from './sealed-limits.ts';
import {
  encodeRecord,
  forgedRecord,
  parseRecord,
  signedRecordFields,
  verifyRecord,
  type SignedRecord,
  type SignedRecordFormat,
} from './signed-record.ts';

const versionLabel = 'mastokeep-version-1';

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const packBytes = z.int().min(1).max(sealedLimits.packBytesMax);

const versionRecordSchema = z.strictObject({
  ...signedRecordFields,
  label: z.literal(versionLabel),
  folder: z.string().regex(folderIdPattern),
  epoch: z.string().regex(/^[0-9a-f]{16}$/),
  number: z.int().min(1).max(9_999_999_999),
  createdAt: z.iso.datetime({ precision: 3 }),
  previous: sha256Hex.nullable(),
  root: sha256Hex,
  packs: z
    .array(z.tuple([sha256Hex, packBytes]))
    .min(1)
    .max(sealedLimits.packsPerVersionMax),
  recipients: z.array(z.string().regex(/^[0-9A-F]{16}$/)).max(sealedLimits.recipientsMax),
});

type Fields = Omit<z.infer<typeof versionRecordSchema>, 'label' | 'agent'>;

/**
 * What an agent says in clear about one version of a sealed folder.
 * `epoch`: 16 hexadecimal digits. `number`: 1 and up, unique with the epoch. `createdAt`: ISO 8601 in UTC with
 * milliseconds. `previous`: SHA-256 of the record before it in the folder, null for none. `root`: the root message.
 * `packs`: hash and size of *every* object that the version needs, each once: the root message too. `recipients`:
 * key IDs that the packs are sealed to; empty for a passphrase.
 */
export type VersionRecord = SignedRecord<Fields>;

const versionFormat: SignedRecordFormat<Fields> = {
  noun: 'a version record',
  label: versionLabel,
  schema: versionRecordSchema,
  bytesMax: sealedLimits.versionRecordBytesMax,
  flaw: ({ packs, root, createdAt }) => {
    const hashes = new Set(packs.map(([hash]) => hash));
    if (hashes.size !== packs.length) return 'it names a pack twice';
    if (!hashes.has(root)) return 'its root message is not among its packs';
    return Number.isNaN(Date.parse(createdAt)) ? 'its time is none' : null;
  },
};

/** The record's bytes: canonical JSON. @throws CodedError RECORD_INVALID */
export function encodeVersionRecord(record: VersionRecord): Buffer {
  return encodeRecord(versionFormat, record);
}

/** The record in these bytes, whoever wrote them. @throws CodedError RECORD_INVALID */
export function parseVersionRecord(bytes: Uint8Array): VersionRecord {
  return parseRecord(versionFormat, bytes);
}

/**
 * The record, once it is proved that the device with this public key signed exactly these bytes, that the record names
 * that device, and that it speaks of that folder.
 * @param publicKey SPKI as DER or PEM (`agent.pem`), or a KeyObject
 * @throws CodedError RECORD_FORGED, RECORD_INVALID
 */
export function verifyVersionRecord(
  bytes: Uint8Array,
  signature: Uint8Array,
  publicKey: KeyObject | Uint8Array | string,
  expected: { folder: string },
): VersionRecord {
  const record = verifyRecord(versionFormat, bytes, signature, publicKey);
  if (record.folder !== expected.folder) {
    throw forgedRecord(versionFormat, `it belongs to folder ${record.folder}, not to ${expected.folder}`);
  }
  return record;
}
