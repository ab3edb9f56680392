import { z } from 'zod';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import { folderField, hashField } from './wire-fields.ts';

const missing = z.strictObject({
  folder: folderField,
  packs: z.array(hashField).min(1).max(limits.missingPacksMax),
});

/** Receiver to agent: of a sealed folder, these packs (by hash) were announced or are named by a version and are not held. */
export type Missing = z.output<typeof missing>;
export const missingMessage = defineMessage('missing', 0x08, missing);
