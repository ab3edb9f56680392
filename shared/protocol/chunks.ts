import { z } from 'zod';
import { fileChunking } from '../chunking/chunking-parameters.ts';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import { hashField, requestIdField, safeIntegerField } from './wire-fields.ts';

const chunks = z.strictObject({
  requestId: requestIdField,
  /** The parameters that cut the file; a basis must be cut by the same to find common chunks. */
  chunking: z.literal(fileChunking.name),
  from: safeIntegerField,
  /** Chunks of the whole file. */
  total: safeIntegerField,
  chunks: z
    .array(z.strictObject({ length: z.int().min(1).max(fileChunking.bytesMax), hash: hashField }))
    .min(1)
    .max(limits.chunksPageMax),
});

/** The answer to `wantChunks`: lengths and SHA-256 of the chunks from position `from` on; a page is full unless it is the last. */
export type Chunks = z.output<typeof chunks>;
export const chunksMessage = defineMessage('chunks', 0x14, chunks);
