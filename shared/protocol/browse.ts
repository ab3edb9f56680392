import { z } from 'zod';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import { folderField, pathField, requestIdField, safeIntegerField } from './wire-fields.ts';

const browse = z.strictObject({
  requestId: requestIdField,
  /** null asks for the folders. */
  folder: folderField.nullable(),
  /** The moment, ms since 1970 by the receiver's clock; null: the latest. */
  at: safeIntegerField.nullable(),
  /** Where the page begins: entries whose path sorts later. */
  after: pathField.nullable(),
  limit: z.int().min(1).max(limits.entriesPageMax),
});

/** Restorer to receiver: what is there of the agent whose history may be read. Answered by `entries`. */
export type Browse = z.output<typeof browse>;
export const browseMessage = defineMessage('browse', 0x20, browse);
