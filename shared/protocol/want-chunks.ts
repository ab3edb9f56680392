import { z } from 'zod';
import { defineMessage } from './message-definition.ts';
import { folderField, hashField, pathField, requestIdField, safeIntegerField } from './wire-fields.ts';

const wantChunks = z.strictObject({
  requestId: requestIdField,
  folder: folderField,
  path: pathField,
  hash: hashField,
  /** Position in the chunk list where the page begins. */
  from: safeIntegerField,
});

/** Who lacks a content of more than 1 MiB to who has it: one page of its chunk list, please. Answered by `chunks` or `gone`. */
export type WantChunks = z.output<typeof wantChunks>;
export const wantChunksMessage = defineMessage('wantChunks', 0x13, wantChunks);
