import { z } from 'zod';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import {
  folderField,
  pathField,
  presentStateField,
  requestIdField,
  safeIntegerField,
} from './wire-fields.ts';

const entries = z.strictObject({
  requestId: requestIdField,
  /** The answer to a browse without a folder: what the latest state of each holds. */
  folders: z
    .array(
      z.strictObject({
        id: folderField,
        kind: z.enum(['mirror', 'sealed']),
        files: safeIntegerField,
        bytes: safeIntegerField,
      }),
    )
    .max(limits.foldersMax)
    .nullable(),
  entries: z.array(z.strictObject({ path: pathField, state: presentStateField })).max(limits.entriesPageMax),
  /** The `after` of the next page; null: this was the last. */
  next: pathField.nullable(),
  /** The moment that is shown, ms since 1970: a restore names it in every later browse, so that all pages show one state. */
  at: safeIntegerField,
});

/** Receiver to restorer: a page of a folder's state at a moment, sorted by path, without what was deleted then. */
export type Entries = z.output<typeof entries>;
export const entriesMessage = defineMessage('entries', 0x21, entries);
