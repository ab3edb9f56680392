import type { ChunkingParameters } from '../../shared/chunking/chunking-parameters.ts';

const [kib, gib] = [1024, 1024 ** 3];

/** Parameters for dumps up to `bytesMax`. */
type Tier = { bytesMax: number; parameters: ChunkingParameters };

/** A row that changed costs the chunk around it, a chunk costs about 60 bytes in the agent's database for ever. */
const tiers: readonly Tier[] = [
  { bytesMax: 8 * gib, parameters: tier('fastcdc-4k', 4 * kib) },
  { bytesMax: 32 * gib, parameters: tier('fastcdc-8k', 8 * kib) },
  { bytesMax: 64 * gib, parameters: tier('fastcdc-16k', 16 * kib) },
  { bytesMax: Number.POSITIVE_INFINITY, parameters: tier('fastcdc-64k', 64 * kib) },
];

/**
 * The parameters for a folder whose first dump will probably have that many bytes; they stay for its whole life.
 * @see docs/decisions/0006-small-chunks-for-dumps.md
 */
export function chooseChunking(expectedBytes: number): ChunkingParameters {
  const chosen = tiers.find(({ bytesMax }) => expectedBytes <= bytesMax);
  if (chosen === undefined) throw new RangeError(`no chunking for ${expectedBytes} bytes`);
  return chosen.parameters;
}

/** The parameters of that name, or null where this program does not know them. */
export function chunkingByName(name: string): ChunkingParameters | null {
  return tiers.find(({ parameters }) => parameters.name === name)?.parameters ?? null;
}

function tier(name: string, bytesAverage: number): ChunkingParameters {
  return { name, bytesMin: bytesAverage / 4, bytesAverage, bytesMax: bytesAverage * 4 };
}
