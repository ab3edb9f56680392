/** What may go at once at the least: pieces of half of it are still worth their overhead. */
const burstBytesMin = 32 * 1024;
const burstSeconds = 0.5;

/**
 * How many bytes may go out at a moment, at a rate. Time is given in (ms, never back). In any stretch of t ms no more than
 * rate · t + burst is taken, beyond what was taken into debt. Begins empty; without a rate everything may go.
 */
export class TokenBucket {
  #bytesPerMs: number | null = null;
  #level = 0;
  #atMs = 0;

  /** Changes the rate (bytes a second, null for none) from this moment on; what is owed stays owed. */
  setRate(bytesPerSecond: number | null, nowMs: number): void {
    this.#fill(nowMs);
    this.#bytesPerMs = bytesPerSecond === null ? null : bytesPerSecond / 1000;
    this.#level = Math.min(this.#level, this.burst);
  }

  /** What may go at once after a pause. */
  get burst(): number {
    if (this.#bytesPerMs === null) return Number.POSITIVE_INFINITY;
    return Math.max(burstBytesMin, this.#bytesPerMs * 1000 * burstSeconds);
  }

  /** The largest piece that is waited for: half the burst, so that nothing runs over while whoever waits is late. */
  get pieceBytesMax(): number {
    return Math.floor(this.burst / 2);
  }

  /** How long until so many bytes may go, ms; 0 now. `bytes`: at most `burst`. */
  waitMs(bytes: number, nowMs: number): number {
    this.#fill(nowMs);
    if (this.#bytesPerMs === null || this.#level >= bytes) return 0;
    return (bytes - this.#level) / this.#bytesPerMs;
  }

  /** Takes so many bytes, also where that makes a debt; a negative number gives back. */
  take(bytes: number, nowMs: number): void {
    this.#fill(nowMs);
    if (this.#bytesPerMs !== null) this.#level = Math.min(this.burst, this.#level - bytes);
  }

  #fill(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#atMs = Math.max(this.#atMs, nowMs);
    if (this.#bytesPerMs !== null)
      this.#level = Math.min(this.burst, this.#level + elapsedMs * this.#bytesPerMs);
  }
}
