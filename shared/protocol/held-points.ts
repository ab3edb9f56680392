import { z } from 'zod';
import { sealedLimits } from '../sealing/sealed-limits.ts';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import {
  bytesField,
  pathField,
  pointIdField,
  requestIdField,
  safeIntegerField,
  textField,
} from './wire-fields.ts';

const heldPoints = z.strictObject({
  requestId: requestIdField,
  /** The agent's public key (SPKI, DER), which the signatures are verified with; null before it is known. */
  agentKey: bytesField(1, limits.publicKeyBytesMax).nullable(),
  points: z
    .array(
      z.strictObject({
        /** The record's bytes (docs/sealed-format.md) and the agent's signature of them. */
        record: bytesField(1, limits.pointRecordBytesMax),
        signature: bytesField(1, limits.signatureBytesMax),
        /** ms since 1970 by the receiver's clock. */
        receivedAt: safeIntegerField,
        /** The label of its pin; null: it has none. */
        pin: textField.nullable(),
        /** What is proved of each of the record's folders, in their order. */
        parts: z
          .array(
            z.strictObject({
              state: z.enum(['complete', 'incomplete', 'unknown']),
              /** How many files are lacking when it is incomplete (of a sealed folder 1), else 0. */
              files: safeIntegerField,
              /** Null where it is not counted. */
              bytes: safeIntegerField.nullable(),
              /** The first of the files that are lacking. */
              lacking: z.array(pathField).max(limits.lackingPathsMax),
            }),
          )
          .max(sealedLimits.foldersPerPointMax),
      }),
    )
    .max(limits.pointsPageMax),
  /** The `after` of the next page; null: this was the last. */
  next: pointIdField.nullable(),
});

/** Receiver to restorer: a page of the restore points that are held, sorted by their names. */
export type HeldPoints = z.output<typeof heldPoints>;
export const heldPointsMessage = defineMessage('heldPoints', 0x23, heldPoints);
