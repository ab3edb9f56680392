import { seededBytes } from './seeded-bytes.ts';

const kib = 1024;

/** Small packs, so that a dump of little is many of them. */
export const crashBenchOptions = { packBytesMax: 128 * kib };

/** A dump of which half changes from round to round. */
export function crashContent(round: number): Buffer {
  return Buffer.concat([
    seededBytes('constant', 300 * kib),
    seededBytes(`round ${round}`, 200 * kib),
    seededBytes(`rounds ${Math.floor(round / 2)}`, 100 * kib),
  ]);
}
