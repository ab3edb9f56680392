import { z } from 'zod';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import { textField } from './wire-fields.ts';

const hello = z.strictObject({
  protocolVersions: z.array(z.int().min(1).max(0xffff)).min(1).max(limits.protocolVersionsMax),
  program: textField,
  programVersion: textField,
  deviceRole: z.enum(['agent', 'receiver', 'restorer']),
});

/** The first message of both sides: what they speak and what they are. They go on with the highest common version. */
export type Hello = z.output<typeof hello>;
export const helloMessage = defineMessage('hello', 0x01, hello);
