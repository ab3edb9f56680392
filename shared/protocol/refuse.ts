import { z } from 'zod';
import { defineMessage } from './message-definition.ts';
import { folderField, textField } from './wire-fields.ts';

const refuse = z.strictObject({
  /** The folder that is not taken at present; null: the whole link, which ends after this. */
  folder: folderField.nullable(),
  code: z.string().regex(/^[A-Z][A-Z_]{0,63}$/),
  message: textField,
  hint: textField.nullable(),
});

/** Any to any: why a folder rests or the link ends. The code is one of docs/errors.md that may cross the wire. */
export type Refuse = z.output<typeof refuse>;
export const refuseMessage = defineMessage('refuse', 0x07, refuse);
