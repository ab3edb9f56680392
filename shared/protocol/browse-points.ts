import { z } from 'zod';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import { pointIdField, requestIdField } from './wire-fields.ts';

const browsePoints = z.strictObject({
  requestId: requestIdField,
  /** Where the page begins: points whose name sorts later; null: at the first. */
  after: pointIdField.nullable(),
  limit: z.int().min(1).max(limits.pointsPageMax),
});

/** Restorer to receiver: which restore points are held of the agent whose history may be read. Answered by `heldPoints`. */
export type BrowsePoints = z.output<typeof browsePoints>;
export const browsePointsMessage = defineMessage('browsePoints', 0x22, browsePoints);
