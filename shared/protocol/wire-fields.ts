import { z } from 'zod';
import { isCoded } from '../errors/coded-error.ts';
import { folderIdPattern } from '../records/folder-id.ts';
import {
  encodeRelativePath,
  parseRelativePath,
  pathBytesMax,
  type RelativePath,
} from '../records/relative-path.ts';
import { limits } from './limits.ts';

/** A byte string of `min` to `max` bytes; decoded as a copy, so that it does not keep the message alive. */
export const bytesField = (min: number, max: number) =>
  z.codec(
    z
      .custom<Uint8Array>(
        (value) => value instanceof Uint8Array && value.length >= min && value.length <= max,
        `expected ${min} to ${max} bytes`,
      )
      .meta({ bytes: `${min}..${max}` }),
    z.custom<Buffer>((value) => Buffer.isBuffer(value)),
    { decode: (wire) => Buffer.from(wire), encode: (bytes) => bytes },
  );

/** SHA-256 of a content. */
export const hashField = bytesField(32, 32);
export const indexIdField = bytesField(8, 8);
/** What the agent chained over everything that it committed in an index; the receiver stores and echoes it. */
export const tokenField = bytesField(32, 32);

/** A path travels as its bytes and is checked like any path from outside. */
export const pathField = z.codec(
  z
    .custom<Uint8Array>(
      (value) => value instanceof Uint8Array && value.length <= pathBytesMax,
      'expected a path',
    )
    .meta({ bytes: `0..${pathBytesMax}`, path: true }),
  z.custom<RelativePath>((value) => typeof value === 'string'),
  {
    decode(wire, context) {
      try {
        return parseRelativePath(wire);
      } catch (error) {
        if (!isCoded(error, 'PATH_INVALID')) throw error;
        context.issues.push({ code: 'custom', message: error.message, input: wire });
        return z.NEVER;
      }
    },
    encode: (path) => encodeRelativePath(path),
  },
);

/** An integer from 0 to 2^53-1; above 32 bits it travels as a 64-bit integer, which cbor-x makes of a bigint only. */
export const safeIntegerField = z.codec(
  z
    .custom<number | bigint>(
      (value) =>
        (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) ||
        (typeof value === 'bigint' && value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)),
      'expected an integer from 0 to 2^53-1',
    )
    .meta({ integer: '0..2^53-1' }),
  z.number().int().min(0),
  { decode: Number, encode: (value) => (value > 0xffff_ffff ? BigInt(value) : value) },
);

const int64Max = 2n ** 63n - 1n;

/** Nanoseconds since 1970, before it negative; a bigint on our side and a 64-bit integer on the wire. */
const timeNsField = z.codec(
  z
    .custom<number | bigint>(
      (value) =>
        (typeof value === 'number' && Number.isSafeInteger(value)) ||
        (typeof value === 'bigint' && value >= -int64Max - 1n && value <= int64Max),
      'expected a 64-bit integer',
    )
    .meta({ integer: '-2^63..2^63-1' }),
  z.bigint(),
  { decode: BigInt, encode: (value) => value },
);

/** An integer that fits 32 bits. */
const uint32Field = z.int().min(0).max(0xffff_ffff);
export const requestIdField = uint32Field;
/** Position of an item in the `want` that asked for it. */
export const itemField = z
  .int()
  .min(0)
  .max(limits.wantItemsMax - 1);
export const folderField = z.string().regex(folderIdPattern);
export const textField = z
  .string()
  .refine((text) => Buffer.byteLength(text) <= limits.textBytesMax, 'text is too long')
  .meta({ textBytesMax: limits.textBytesMax });
const modeField = z.int().min(0).max(0o7777);

const fileStateField = z.strictObject({
  kind: z.literal('file'),
  size: safeIntegerField,
  mtimeNs: timeNsField,
  mode: modeField,
  uid: uint32Field,
  gid: uint32Field,
  hash: hashField,
});

const symlinkStateField = z.strictObject({
  kind: z.literal('symlink'),
  target: bytesField(1, limits.symlinkTargetBytesMax),
  mtimeNs: timeNsField,
  uid: uint32Field,
  gid: uint32Field,
});

const directoryStateField = z.strictObject({
  kind: z.literal('directory'),
  mode: modeField,
  uid: uint32Field,
  gid: uint32Field,
});

/** What is at a path and can be given back. */
export const presentStateField = z.discriminatedUnion('kind', [
  fileStateField,
  symlinkStateField,
  directoryStateField,
]);

/** What is at a path, or that it is gone. */
export const pathStateField = z.discriminatedUnion('kind', [
  fileStateField,
  symlinkStateField,
  directoryStateField,
  z.strictObject({ kind: z.literal('deleted') }),
]);
