import { z } from 'zod';
import { defineMessage } from './message-definition.ts';
import { folderField, indexIdField, safeIntegerField, tokenField } from './wire-fields.ts';

const durable = z.strictObject({
  folder: folderField,
  indexId: indexIdField,
  sequence: safeIntegerField,
  token: tokenField,
});

/** Receiver to agent: everything up to this checkpoint survives a power loss here. */
export type Durable = z.output<typeof durable>;
export const durableMessage = defineMessage('durable', 0x06, durable);
