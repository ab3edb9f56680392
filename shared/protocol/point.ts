import { z } from 'zod';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import { bytesField } from './wire-fields.ts';

const point = z.strictObject({
  /** The record's bytes (docs/sealed-format.md), which the signature is of. */
  record: bytesField(1, limits.pointRecordBytesMax),
  /** ECDSA P-256 with SHA-256, DER. */
  signature: bytesField(1, limits.signatureBytesMax),
});

/** Agent to receiver: a restore point was made. In the order of their numbers; the next one after the answer. */
export type Point = z.output<typeof point>;
export const pointMessage = defineMessage('point', 0x09, point);
