import { z } from 'zod';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import { folderField, indexIdField, pathField, requestIdField, safeIntegerField } from './wire-fields.ts';

const browse = z.strictObject({
  requestId: requestIdField,
  /** null asks for the folders. */
  folder: folderField.nullable(),
  /** The moment, ms since 1970 by the receiver's clock; null: the latest. */
  at: safeIntegerField.nullable(),
  /** Instead of the moment, of a mirror folder: what was alive at sequence `from` of the index or came up to `to`. */
  between: z.strictObject({ indexId: indexIdField, from: safeIntegerField, to: safeIntegerField }).nullable(),
  /** Where the page begins: entries whose path sorts later. */
  after: pathField.nullable(),
  limit: z.int().min(1).max(limits.entriesPageMax),
});

/** Restorer to receiver: what is there of the agent whose history may be read. Answered by `entries`. */
export type Browse = z.output<typeof browse>;
export const browseMessage = defineMessage('browse', 0x20, browse);
