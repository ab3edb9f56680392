import { z } from 'zod';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import { folderField, hashField, pathField, requestIdField, safeIntegerField } from './wire-fields.ts';

const want = z.strictObject({
  requestId: requestIdField,
  folder: folderField,
  items: z
    .array(
      z.strictObject({
        path: pathField,
        hash: hashField,
        offset: safeIntegerField,
        length: z.int().min(1).max(limits.contentBytesInFlightMax),
      }),
    )
    .min(1)
    .max(limits.wantItemsMax),
});

/** Who lacks content to who has it: these ranges of the contents that were announced as `hash` at `path`. Request ids rise. */
export type Want = z.output<typeof want>;
export type WantItem = Want['items'][number];
export const wantMessage = defineMessage('want', 0x10, want);
