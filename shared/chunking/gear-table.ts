import { createHash } from 'node:crypto';

/** What the gear table is made of, so that any program can make the same one: entry n is the first 4 bytes (big-endian) of SHA-256 of this text followed by byte n. */
export const gearSeed = 'mastokeep gear table 1';

/** 256 random-looking 32-bit numbers, one for each value of a byte. */
export const gearTable: Int32Array = Int32Array.from({ length: 256 }, (_, byte) =>
  createHash('sha256').update(gearSeed, 'latin1').update(Uint8Array.of(byte)).digest().readInt32BE(0),
);
