import { crc32 } from 'node:zlib';
import * as z from 'zod';
import type { HalfLook } from '../store/long-check.ts';

const halfReadSchema = z
  .strictObject({
    /** Which file it is, as the subject names it. */
    in: z.string(),
    identity: z.string(),
    offset: z.int().min(0),
    hash: z.base64(),
    first: z.enum(['size', 'content', 'unreadable']).nullable(),
    starts: z.int().min(1),
    /** CRC-32 of all that: a bit that flips in the state of a hash would make a whole file look damaged. */
    check: z.string(),
  })
  .refine(({ check, ...half }) => check === checksum(half), 'the checksum is wrong');

/** Where a subject stands: behind what it names so, or in the middle of a file. Made by `inFile`. */
export const scrubPositionSchema = z.union([z.string(), halfReadSchema]);

/** A text as the subject makes it, or the middle of a file; plain JSON. */
export type ScrubPosition = z.infer<typeof scrubPositionSchema>;

/** In the middle of that file. */
export function inFile(name: string, { identity, offset, hash, first, starts }: HalfLook): ScrubPosition {
  const half = { in: name, identity, offset, hash, first, starts };
  return { ...half, check: checksum(half) };
}

function checksum({ in: name, identity, offset, hash, first, starts }: HalfLook & { in: string }): string {
  const text = JSON.stringify([name, identity, offset, hash, first, starts]);
  return crc32(text).toString(16).padStart(8, '0');
}
