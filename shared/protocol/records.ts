import { z } from 'zod';
import type { FileRecord } from '../records/file-record.ts';
import { pathBytesMax } from '../records/relative-path.ts';
import { limits } from './limits.ts';
import { defineMessage } from './message-definition.ts';
import {
  folderField,
  indexIdField,
  pathField,
  pathStateField,
  safeIntegerField,
  tokenField,
} from './wire-fields.ts';

const records = z.strictObject({
  folder: folderField,
  indexId: indexIdField,
  records: z
    .array(
      z.strictObject({
        path: pathField,
        sequence: safeIntegerField,
        replaces: safeIntegerField.nullable(),
        state: pathStateField,
      }),
    )
    .max(limits.recordsPerCheckpointMax),
  checkpoint: z
    .strictObject({
      through: safeIntegerField,
      token: tokenField,
      /** The agent had no later record when it read these: what was alive up to here is all said. */
      isHead: z.boolean(),
    })
    .nullable(),
});

/**
 * Agent to receiver: later records in the order of their sequence. `checkpoint` ends a batch, which the receiver commits as
 * one; null says that records up to the same checkpoint follow in another message.
 */
export type Records = z.output<typeof records>;
export const recordsMessage = defineMessage('records', 0x04, records);

/** An upper bound of a record's bytes on the wire, for cutting a batch or a page into messages. */
export function recordWireBytesMax(record: Pick<FileRecord, 'path' | 'state'>): number {
  return 192 + record.path.length + (record.state.kind === 'symlink' ? record.state.target.length : 0);
}

/** The same of several records. */
export function recordsWireBytesMax(list: readonly Pick<FileRecord, 'path' | 'state'>[]): number {
  return list.reduce((bytes, record) => bytes + recordWireBytesMax(record), 0);
}

/** No batch takes more: with the longest paths and targets. */
export const batchWireBytesMax: number =
  limits.recordsPerCheckpointMax * (192 + pathBytesMax + limits.symlinkTargetBytesMax);
