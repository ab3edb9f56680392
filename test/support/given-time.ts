const lookEveryMs = 20;
const countedMsMax = 100;

/**
 * The time that a machine gives to its processes: while it stands still for this one, because others have it, next to
 * nothing passes. For claims on how quick a program is, which no program can keep that does not run.
 */
export class GivenTime {
  readonly #timer = setInterval(() => this.now(), lookEveryMs);
  #lookedAt = performance.now();
  #ms = 0;

  /** Since it was made, ms. */
  now(): number {
    const at = performance.now();
    this.#ms += Math.min(at - this.#lookedAt, countedMsMax);
    this.#lookedAt = at;
    return this.#ms;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
