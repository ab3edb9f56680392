/** How fast large messages may go out on one link. */
export type SendPace = {
  /**
   * Resolves when a message may go, with how many of `bytes` (1 at least) it may have: 1 at least. One that cannot be cut may
   * be larger; then the next one waits for longer. At once after `end`.
   */
  claim(bytes: number): Promise<number>;
  /** What went out of what was claimed: less, more or nothing. To be called for every claim; `claimed` is 0 where nobody waited. */
  sent(claimed: number, bytes: number): void;
  /** The link has ended: nobody waits any more. */
  end(): void;
};

/** As fast as the link takes it. */
export const unpaced: SendPace = { claim: async (bytes) => bytes, sent: () => {}, end: () => {} };
