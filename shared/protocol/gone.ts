import { z } from 'zod';
import { defineMessage } from './message-definition.ts';
import { itemField, requestIdField } from './wire-fields.ts';

const gone = z.strictObject({
  requestId: requestIdField,
  item: itemField,
  reason: z.enum(['vanished', 'changed', 'unreadable']),
});

/**
 * Who was asked to who asked: this item of the want (0 for a wantChunks) cannot be given (any more), nothing more comes of it.
 * An agent sends it only after it is durable that the next scan looks at the path again.
 */
export type Gone = z.output<typeof gone>;
export type GoneReason = Gone['reason'];
export const goneMessage = defineMessage('gone', 0x12, gone);
