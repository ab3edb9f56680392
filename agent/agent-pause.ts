import type { Pause } from './pause-file.ts';

/** Timers cannot wait longer than 2^31 ms. */
const longestTimerMs = 3_600_000;

type Deps = {
  /** The sources are left alone from here on. */
  begin(): Promise<void>;
  /** They are looked at again; called when the pause ends by itself, too. */
  end(): Promise<void>;
  now(): number;
};

/** The pause of a running agent, which ends by the clock where it has an end. */
export class AgentPause {
  readonly #deps: Deps;
  #pause: Pause | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get current(): Pause | null {
    return this.#pause;
  }

  /** Begins a pause, changes its end, or ends it (null). */
  async set(pause: Pause | null): Promise<void> {
    const before = this.#pause;
    this.#pause = pause;
    this.#watchClock();
    if (pause !== null && before === null) await this.#deps.begin();
    if (pause === null && before !== null) await this.#deps.end();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #watchClock(): void {
    this.stop();
    const untilMs = this.#pause?.untilMs ?? null;
    if (untilMs === null) return;
    const leftMs = untilMs - this.#deps.now();
    this.#timer = setTimeout(
      () => {
        if (leftMs > longestTimerMs) this.#watchClock();
        else void this.set(null);
      },
      Math.max(0, Math.min(leftMs, longestTimerMs)),
    );
  }
}
