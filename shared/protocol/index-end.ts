import { z } from 'zod';
import { defineMessage } from './message-definition.ts';
import { folderField, indexIdField, safeIntegerField, tokenField } from './wire-fields.ts';

const indexEnd = z.strictObject({
  folder: folderField,
  indexId: indexIdField,
  through: safeIntegerField,
  token: tokenField,
});

/**
 * Agent to receiver, once after a subscribe: up to the checkpoint `through`, which the receiver has acknowledged as durable,
 * this index named every live path. Paths whose last record is of an older index are deletions.
 */
export type IndexEnd = z.output<typeof indexEnd>;
export const indexEndMessage = defineMessage('indexEnd', 0x05, indexEnd);
