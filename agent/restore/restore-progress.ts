/** How far a restore is; bytes are content that is in its place, whether it came over the link or was there. */
export type RestoreProgress = {
  filesTotal: number;
  bytesTotal: number;
  files: number;
  bytes: number;
  /** Of `bytes`, what this run has fetched; of sealed folders as it is when opened. */
  bytesReceived: number;
  failed: number;
};

export function emptyProgress(): RestoreProgress {
  return { filesTotal: 0, bytesTotal: 0, files: 0, bytes: 0, bytesReceived: 0, failed: 0 };
}

/** Shows a restore to whoever watches it. */
export type ProgressDisplay = {
  /** Called often; shows as often as makes sense. */
  update(progress: RestoreProgress): void;
  /** A line that stays, above what moves. */
  note(line: string): void;
  stop(progress: RestoreProgress): void;
  /** Leaves the terminal as it was, in the middle of everything. */
  abandon(): void;
};

/** Bytes that count for the rate: those of the last seconds. */
const rateWindowMs = 10_000;

/** The rate at which content comes, over the last ten seconds. */
export class RateMeter {
  #samples: { at: number; bytes: number }[] = [];

  /** Takes a total that only rises, at a time in ms. */
  add(at: number, bytes: number): void {
    this.#samples.push({ at, bytes });
    while (this.#samples.length > 2 && at - (this.#samples[1]?.at ?? at) >= rateWindowMs)
      this.#samples.shift();
  }

  bytesPerSecond(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.at <= first.at) return 0;
    return ((last.bytes - first.bytes) * 1000) / (last.at - first.at);
  }
}

/** Seconds until the rest has come at this rate; null when nobody can tell. */
export function remainingSeconds(progress: RestoreProgress, bytesPerSecond: number): number | null {
  const rest = progress.bytesTotal - progress.bytes;
  if (rest <= 0) return 0;
  return bytesPerSecond > 0 ? Math.ceil(rest / bytesPerSecond) : null;
}
