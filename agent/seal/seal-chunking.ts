import type { ChunkingParameters } from '../../shared/chunking/chunking-parameters.ts';

const kib = 1024;

/** Sealed folders up to 32 GiB. */
const fineChunking = {
  name: 'fastcdc-16k',
  bytesMin: 4 * kib,
  bytesAverage: 16 * kib,
  bytesMax: 64 * kib,
} as const satisfies ChunkingParameters;

/** Larger ones: fewer chunks to remember. */
const coarseChunking = {
  name: 'fastcdc-64k',
  bytesMin: 16 * kib,
  bytesAverage: 64 * kib,
  bytesMax: 256 * kib,
} as const satisfies ChunkingParameters;

const coarseFromBytes = 32 * kib ** 3;

/** The parameters for a folder whose first dump will probably have that many bytes; they stay for its whole life. */
export function chooseChunking(expectedBytes: number): ChunkingParameters {
  return expectedBytes > coarseFromBytes ? coarseChunking : fineChunking;
}

/** The parameters of that name, or null where this program does not know them. */
export function chunkingByName(name: string): ChunkingParameters | null {
  return [fineChunking, coarseChunking].find((parameters) => parameters.name === name) ?? null;
}
