/** The time as the indexer sees it; tests bring their own. */
export type Clock = {
  /** Wall clock, ms since 1970; compared with file times. */
  wallMs(): number;
  /** Never jumps; for intervals. */
  monotonicMs(): number;
  /** Calls once after that time; gives the function that prevents it. */
  setTimer(delayMs: number, callback: () => void): () => void;
};

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
