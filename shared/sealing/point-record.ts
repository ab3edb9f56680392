import type { KeyObject } from 'node:crypto';
import * as z from 'zod';
import { folderIdPattern } from '../records/folder-id.ts';
import { sealedLimits } from './sealed-limits.ts';
import {
  encodeRecord,
  parseRecord,
  recordHash,
  signedRecordFields,
  verifyRecord,
  type SignedRecord,
  type SignedRecordFormat,
} from './signed-record.ts';

const pointLabel = 'mastokeep-point-1';

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const sequence = z.int().min(0);
const id = z.string().regex(folderIdPattern);

const mirrorPart = z.strictObject({
  id,
  kind: z.literal('mirror'),
  index: z.string().regex(/^[0-9a-f]{16}$/),
  from: sequence,
  to: sequence,
});

const sealedPart = z.strictObject({
  id,
  kind: z.literal('sealed'),
  epoch: z.string().regex(/^[0-9a-f]{16}$/),
  number: z.int().min(1).max(9_999_999_999),
  record: sha256Hex,
});

/** What a pin may be called. */
export const pinLabelSchema = z
  .string()
  .min(1)
  .max(sealedLimits.pinLabelLengthMax)
  .regex(/^[^\p{C}]+$/u);

const pointRecordSchema = z.strictObject({
  ...signedRecordFields,
  label: z.literal(pointLabel),
  number: z.int().min(1).max(9_999_999_999),
  createdAt: z.iso.datetime({ precision: 3 }),
  previous: sha256Hex.nullable(),
  cause: z.enum(['dump', 'hourly', 'asked']),
  pin: pinLabelSchema.nullable(),
  folders: z
    .array(z.discriminatedUnion('kind', [mirrorPart, sealedPart]))
    .min(1)
    .max(sealedLimits.foldersPerPointMax),
});

type Fields = Omit<z.infer<typeof pointRecordSchema>, 'label' | 'agent'>;

/**
 * A moment to which all folders of an agent can be taken back together, as the agent says it.
 * `number`: 1 and up. `createdAt`: ISO 8601 in UTC with milliseconds, when the point's dump began. `previous`: SHA-256 of
 * the point record before it, null for none. `pin`: a label, when the agent asks for the point to be kept for ever.
 * `folders`: each folder once. Of a mirror folder, everything that was alive at sequence `from` of that index or came up to
 * `to`; of one path the last content. Of a sealed folder one version; `record` is the SHA-256 of its version record.
 */
export type PointRecord = SignedRecord<Fields>;

const pointFormat: SignedRecordFormat<Fields> = {
  noun: 'a restore point',
  label: pointLabel,
  schema: pointRecordSchema,
  bytesMax: sealedLimits.pointRecordBytesMax,
  flaw: ({ folders, createdAt }) => {
    if (new Set(folders.map((folder) => folder.id)).size !== folders.length) return 'it names a folder twice';
    for (const folder of folders) {
      if (folder.kind === 'mirror' && folder.from > folder.to)
        return `folder ${folder.id} ends before it begins`;
    }
    return Number.isNaN(Date.parse(createdAt)) ? 'its time is none' : null;
  },
};

/** The record's bytes: canonical JSON. @throws CodedError RECORD_INVALID */
export function encodePointRecord(record: PointRecord): Buffer {
  return encodeRecord(pointFormat, record);
}

/** The record in these bytes, whoever wrote them. @throws CodedError RECORD_INVALID */
export function parsePointRecord(bytes: Uint8Array): PointRecord {
  return parseRecord(pointFormat, bytes);
}

/**
 * The record, once it is proved that the device with this public key signed exactly these bytes and that the record
 * names that device.
 * @throws CodedError RECORD_FORGED, RECORD_INVALID
 */
export function verifyPointRecord(
  bytes: Uint8Array,
  signature: Uint8Array,
  publicKey: KeyObject | Uint8Array | string,
): PointRecord {
  return verifyRecord(pointFormat, bytes, signature, publicKey);
}

/** What people call the point: `YYYYMMDD-HHMMSS-` (UTC) and the first 8 hexadecimal digits of its record's SHA-256. */
export function pointId(record: PointRecord, bytes: Uint8Array): string {
  const moment = record.createdAt.replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  return `${moment}-${recordHash(bytes).slice(0, 8)}`;
}
