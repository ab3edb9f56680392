import { z } from 'zod';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import { folderField, pathField, pointIdField, requestIdField } from './wire-fields.ts';

const browseLacking = z.strictObject({
  requestId: requestIdField,
  /** One of those that `heldPoints` names. */
  point: pointIdField,
  /** A mirror folder that the point names. */
  folder: folderField,
  /** Where the page begins: paths that sort later; null: at the first. */
  after: pathField.nullable(),
  limit: z.int().min(1).max(limits.lackingPageMax),
});

/** Restorer to receiver: which files of a folder a restore point lacks. Answered by `lackingPaths`. */
export type BrowseLacking = z.output<typeof browseLacking>;
export const browseLackingMessage = defineMessage('browseLacking', 0x24, browseLacking);
