import { z } from 'zod';
import { defineMessage } from './message-definition.ts';
import { hashField } from './wire-fields.ts';

const pointTaken = z.strictObject({
  /** SHA-256 of the record that this answers. */
  hash: hashField,
  /** True: the point survives a power loss here. */
  held: z.boolean(),
  /** Why it is not held, or is held without the pin that it asks for; a code of docs/errors.md. */
  code: z
    .string()
    .regex(/^[A-Z][A-Z_]{0,63}$/)
    .nullable(),
});

/** Receiver to agent: what became of an announced restore point. */
export type PointTaken = z.output<typeof pointTaken>;
export const pointTakenMessage = defineMessage('pointTaken', 0x0a, pointTaken);
