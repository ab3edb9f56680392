/** How content is cut: chunk lengths in bytes. `name` stands for all of it on the wire and on disk, and is never reused. */
export type ChunkingParameters = {
  readonly name: string;
  readonly bytesMin: number;
  /** A power of two. */
  readonly bytesAverage: number;
  readonly bytesMax: number;
};

/** Files above 1 MiB in mirror folders. */
export const fileChunking = {
  name: 'fastcdc-256k',
  bytesMin: 64 * 1024,
  bytesAverage: 256 * 1024,
  bytesMax: 1024 * 1024,
} as const satisfies ChunkingParameters;
