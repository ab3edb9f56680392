import fs from 'node:fs';
import * as z from 'zod';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { encodeCheckedLine, isIntactLine, parseCheckedLine } from '../../shared/io/checked-line.ts';
import { guardCodes, notFrozen, type FreezeState } from './freeze-state.ts';

const code = z.enum(guardCodes);
const time = z.number();
const hit = z.strictObject({
  folder: z.string().nullable(),
  code,
  since: z.string(),
  from: time,
  what: z.string(),
});
const fileSchema = z.strictObject({
  format: z.literal('mastokeep-freeze'),
  formatVersion: z.literal(1),
  hits: z.array(hit),
  accepted: z.array(
    z.strictObject({ folder: z.string(), code, at: time, keyIds: z.array(z.string()).nullable() }),
  ),
  releases: z.array(z.strictObject({ at: z.string(), hits: z.array(hit) })),
});

/** Where there is no file, nothing was ever frozen. @throws CodedError FREEZE_UNKNOWN: it is damaged or cannot be read */
export function readFreeze(file: string): FreezeState {
  let bytes: Buffer;
  try {
    bytes = fs.readFileSync(file);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return notFrozen;
    throw unknown(`${file} cannot be read: ${systemErrorCode(error) ?? String(error)}`, error);
  }
  const line = bytes.subarray(0, -1);
  if (bytes.at(-1) !== 0x0a || !isIntactLine(line)) throw unknown(`${file} is damaged`, null);
  const parsed = fileSchema.safeParse(parseCheckedLine(line));
  if (!parsed.success)
    throw unknown(`${file} has a form that this version does not understand`, parsed.error);
  const { hits, accepted, releases } = parsed.data;
  return { hits, accepted, releases };
}

/** Whole or not at all; durable when it returns. @throws a system error where it cannot be written */
export function writeFreeze(file: string, state: FreezeState): void {
  const value = { format: 'mastokeep-freeze', formatVersion: 1, ...state };
  writeFileAtomic(file, encodeCheckedLine(value), 0o640);
}

function unknown(message: string, cause: unknown): CodedError {
  return new CodedError('FREEZE_UNKNOWN', message, { cause });
}
