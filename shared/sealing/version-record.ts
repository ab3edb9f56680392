import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import * as z from 'zod';
import { CodedError } from '../errors/coded-error.ts';
import { deviceIdOfKey, type DeviceId } from '../identity/device-id.ts';
import { folderIdPattern } from '../records/folder-id.ts';
import { canonicalJson, parseStrictJson } from './canonical-json.ts';
import { sealedLimits } from './sealed-limits.ts';

const versionLabel = 'mastokeep-version-1';

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const bytesCount = z.int().min(1).max(Number.MAX_SAFE_INTEGER);

const versionRecordSchema = z.strictObject({
  label: z.literal(versionLabel),
  agent: z.string().regex(/^[A-Z2-7]{7}(-[A-Z2-7]{7}){7}$/),
  folder: z.string().regex(folderIdPattern),
  epoch: z.string().regex(/^[0-9a-f]{16}$/),
  number: z.int().min(1).max(9_999_999_999),
  createdAt: z.iso.datetime({ precision: 3 }),
  previous: sha256Hex.nullable(),
  root: sha256Hex,
  packs: z
    .array(z.tuple([sha256Hex, bytesCount]))
    .min(1)
    .max(sealedLimits.packsPerVersionMax),
  recipients: z.array(z.string().regex(/^[0-9A-F]{16}$/)).max(sealedLimits.recipientsMax),
});

/**
 * What an agent says in clear about one version of a sealed folder.
 * `epoch`: 16 hexadecimal digits. `number`: 1 and up, unique with the epoch. `createdAt`: ISO 8601 in UTC with
 * milliseconds. `previous`: SHA-256 of the record before it in the folder, null for none. `root`: the root message.
 * `packs`: hash and size of *every* object that the version needs, each once: the root message too. `recipients`:
 * key IDs that the packs are sealed to; empty for a passphrase.
 */
export type VersionRecord = Omit<z.infer<typeof versionRecordSchema>, 'label' | 'agent'> & {
  agent: DeviceId;
};

/** The record's bytes: canonical JSON. The same record has the same bytes everywhere. @throws CodedError RECORD_INVALID */
export function encodeVersionRecord(record: VersionRecord): Buffer {
  const bytes = Buffer.from(canonicalJson({ ...record, label: versionLabel }), 'utf8');
  parseVersionRecord(bytes);
  return bytes;
}

/**
 * Reads the one way in which a record may be written; any other spelling of the same content is refused. Proves
 * nothing about who wrote it.
 * @throws CodedError RECORD_INVALID
 */
export function parseVersionRecord(bytes: Uint8Array): VersionRecord {
  const json = parseStrictJson(bytes, sealedLimits.versionRecordBytesMax, invalid);
  const parsed = versionRecordSchema.safeParse(json);
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error).slice(0, 500));
  const record = parsed.data;
  if (!Buffer.from(canonicalJson(record), 'utf8').equals(bytes)) throw invalid('it is not canonical JSON');
  const hashes = new Set(record.packs.map(([hash]) => hash));
  if (hashes.size !== record.packs.length) throw invalid('it names a pack twice');
  if (!hashes.has(record.root)) throw invalid('its root message is not among its packs');
  if (Number.isNaN(Date.parse(record.createdAt))) throw invalid('its time is none');
  const { label: _, agent, ...rest } = record;
  return { ...rest, agent: agent as DeviceId };
}

/** The record's name in the next record's `previous`: SHA-256 of its bytes, hexadecimal. */
export function versionRecordHash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The detached signature: ECDSA P-256 with SHA-256, DER. `key`: the device's private key (PEM or KeyObject). */
export function signVersionRecord(bytes: Uint8Array, key: KeyObject | string): Buffer {
  return sign('sha256', bytes, { key: key as KeyObject, dsaEncoding: 'der' });
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
  const key = importPublicKey(publicKey);
  if (!verify('sha256', bytes, { key, dsaEncoding: 'der' }, signature)) {
    throw forged('its signature is not of the agent');
  }
  const record = parseVersionRecord(bytes);
  const agent = deviceIdOfKey(key.export({ type: 'spki', format: 'der' }));
  if (record.agent !== agent) throw forged(`it names agent ${record.agent}, its signer is ${agent}`);
  if (record.folder !== expected.folder) {
    throw forged(`it belongs to folder ${record.folder}, not to ${expected.folder}`);
  }
  return record;
}

function importPublicKey(publicKey: KeyObject | Uint8Array | string): KeyObject {
  if (typeof publicKey === 'string') return createPublicKey(publicKey);
  if (publicKey instanceof Uint8Array) {
    return createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' });
  }
  return publicKey;
}

function forged(why: string): CodedError {
  return new CodedError('RECORD_FORGED', `a version record is not what it claims: ${why}`);
}

function invalid(why: string): CodedError {
  return new CodedError('RECORD_INVALID', `a version record does not follow its format: ${why}`);
}
