const statusesAtScale1 = 620_000;

/** Statuses of the database of a benchmark: at scale 1 its dump has about 0.85 GB. */
export function statusesOfScale(scale: number): number {
  return Math.ceil(statusesAtScale1 * scale);
}
