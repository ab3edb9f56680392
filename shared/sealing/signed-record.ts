import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import * as z from 'zod';
import { CodedError } from '../errors/coded-error.ts';
import { deviceIdOfKey, type DeviceId } from '../identity/device-id.ts';
import { canonicalJson, parseStrictJson } from './canonical-json.ts';

/** What every record that a device signs begins with. */
export const signedRecordFields = { agent: z.string().regex(/^[A-Z2-7]{7}(-[A-Z2-7]{7}){7}$/) };

/** One kind of record: canonical JSON in clear, with a detached signature by the device key beside it. */
export type SignedRecordFormat<Fields> = {
  /** For messages, with its article. */
  noun: string;
  /** Its `label`, which keeps a signature from being taken for that of another kind. */
  label: string;
  schema: z.ZodType<Fields & { label: string; agent: string }>;
  bytesMax: number;
  /** Why the record makes no sense though every field is well-formed; null when it does. */
  flaw(record: Fields): string | null;
};

export type SignedRecord<Fields> = Fields & { agent: DeviceId };

/** The record's bytes. The same record has the same bytes everywhere. @throws CodedError RECORD_INVALID */
export function encodeRecord<Fields>(
  format: SignedRecordFormat<Fields>,
  record: SignedRecord<Fields>,
): Buffer {
  const bytes = Buffer.from(canonicalJson({ ...record, label: format.label }), 'utf8');
  parseRecord(format, bytes);
  return bytes;
}

/**
 * Reads the one way in which a record may be written; any other spelling of the same content is refused. Proves
 * nothing about who wrote it.
 * @throws CodedError RECORD_INVALID
 */
export function parseRecord<Fields>(
  format: SignedRecordFormat<Fields>,
  bytes: Uint8Array,
): SignedRecord<Fields> {
  const invalid = (why: string): CodedError =>
    new CodedError('RECORD_INVALID', `${format.noun} does not follow its format: ${why}`);
  const parsed = format.schema.safeParse(parseStrictJson(bytes, format.bytesMax, invalid));
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error).slice(0, 500));
  if (!Buffer.from(canonicalJson(parsed.data), 'utf8').equals(bytes))
    throw invalid('it is not canonical JSON');
  const flaw = format.flaw(parsed.data);
  if (flaw !== null) throw invalid(flaw);
  const { label: _, ...record } = parsed.data;
  // The schema is of exactly these fields; the pattern of `agent` makes it a device ID.
  return record as unknown as SignedRecord<Fields>;
}

/** The record's name in the next record's `previous`: SHA-256 of its bytes, hexadecimal. */
export function recordHash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The detached signature: ECDSA P-256 with SHA-256, DER. `key`: the device's private key (PEM or KeyObject). */
export function signRecord(bytes: Uint8Array, key: KeyObject | string): Buffer {
  return sign('sha256', bytes, { key: key as KeyObject, dsaEncoding: 'der' });
}

/**
 * The record, once it is proved that the device with this public key signed exactly these bytes and that the record
 * names that device.
 * @param publicKey SPKI as DER or PEM (`agent.pem`), or a KeyObject
 * @throws CodedError RECORD_FORGED, RECORD_INVALID
 */
export function verifyRecord<Fields>(
  format: SignedRecordFormat<Fields>,
  bytes: Uint8Array,
  signature: Uint8Array,
  publicKey: KeyObject | Uint8Array | string,
): SignedRecord<Fields> {
  const key = importPublicKey(publicKey);
  if (!verify('sha256', bytes, { key, dsaEncoding: 'der' }, signature)) {
    throw forgedRecord(format, 'its signature is not of the agent');
  }
  const record = parseRecord(format, bytes);
  const agent = deviceIdOfKey(key.export({ type: 'spki', format: 'der' }));
  if (record.agent !== agent)
    throw forgedRecord(format, `it names agent ${record.agent}, its signer is ${agent}`);
  return record;
}

/** The error for a record that is well-formed and not what it claims to be. */
export function forgedRecord(format: { noun: string }, why: string): CodedError {
  return new CodedError('RECORD_FORGED', `${format.noun} is not what it claims: ${why}`);
}

function importPublicKey(publicKey: KeyObject | Uint8Array | string): KeyObject {
  if (typeof publicKey === 'string') return createPublicKey(publicKey);
  if (publicKey instanceof Uint8Array) {
    return createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' });
  }
  return publicKey;
}
