import { z } from 'zod';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import { pathField, requestIdField } from './wire-fields.ts';

const lackingPaths = z.strictObject({
  requestId: requestIdField,
  /** In byte order. */
  paths: z.array(pathField).max(limits.lackingPageMax),
  /** The `after` of the next page; null: this was the last. */
  next: pathField.nullable(),
});

/** Receiver to restorer: a page of the files that a restore point lacks of one folder, as it is known now. */
export type LackingPaths = z.output<typeof lackingPaths>;
export const lackingPathsMessage = defineMessage('lackingPaths', 0x25, lackingPaths);
