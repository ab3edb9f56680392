import { z } from 'zod';
import { defineMessage } from './message-definition.ts';
import { folderField, indexIdField, safeIntegerField, tokenField } from './wire-fields.ts';

/** A checkpoint of an index: everything up to `sequence`; `token` shows that agent and receiver mean the same history. */
const feedPositionField = z.strictObject({
  indexId: indexIdField,
  sequence: safeIntegerField,
  token: tokenField,
});

const subscribe = z.strictObject({
  folder: folderField,
  /** The index of the offer that this answers; an agent that offers another by now leaves it at that. */
  indexId: indexIdField,
  position: feedPositionField.nullable(),
});

/** Receiver to agent: send what came later than `position`, the last durable checkpoint; null asks for everything. */
export type Subscribe = z.output<typeof subscribe>;
export const subscribeMessage = defineMessage('subscribe', 0x03, subscribe);
