import { z } from 'zod';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import { folderField, indexIdField } from './wire-fields.ts';

const offer = z.strictObject({
  folders: z
    .array(z.strictObject({ id: folderField, kind: z.enum(['mirror', 'sealed']), indexId: indexIdField }))
    .max(limits.foldersMax),
});

/** Agent to receiver: the folders that may be pulled, all of them; again whenever a folder or its index changes. */
export type Offer = z.output<typeof offer>;
export const offerMessage = defineMessage('offer', 0x02, offer);
