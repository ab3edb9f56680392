/** How a scrub reads files, in bytes; tests make them small. */
export type ScrubLimits = {
  /**
   * From this size on a file is read so that a scrub can go on in its middle. A shorter one is through in a minute at the
   * slowest, and its hash takes a fifth of the processor time.
   */
  longFile: number;
  /** After so much a page ends, so that little is read again after a kill; of a long file it is a multiple of 64. */
  page: number;
};

/** What receivers use. */
export const defaultScrubLimits: ScrubLimits = { longFile: 64 * 1024 * 1024, page: 16 * 1024 * 1024 };
