import type { ErrorCode } from '../errors/error-table.ts';
import type { Logger } from '../io/logger.ts';

type Window = { startedAt: number; lines: number; dropped: number; timer: NodeJS.Timeout | null };

/**
 * Logs refused connections by code: the first few of a window one by one, the rest of it as one line with their number,
 * so that a thousand refusals neither fill a disk nor go unseen.
 */
export class RefusalLog {
  readonly #logger: Logger;
  readonly #options: { linesMax: number; windowMs: number; now: () => number };
  readonly #windows = new Map<ErrorCode, Window>();

  constructor(deps: { logger: Logger }, options: { linesMax: number; windowMs: number; now: () => number }) {
    this.#logger = deps.logger;
    this.#options = options;
  }

  note(code: ErrorCode, fields: Record<string, unknown>): void {
    let window = this.#windows.get(code);
    if (window === undefined || this.#options.now() - window.startedAt >= this.#options.windowMs) {
      if (window !== undefined) this.#closeWindow(code, window);
      window = { startedAt: this.#options.now(), lines: 0, dropped: 0, timer: null };
      this.#windows.set(code, window);
    }
    if (window.lines < this.#options.linesMax) {
      window.lines += 1;
      this.#logger.warn({ code, ...fields }, 'connection refused');
      return;
    }
    window.dropped += 1;
    const open = window;
    open.timer ??= setTimeout(() => this.#closeWindow(code, open), this.#options.windowMs).unref();
  }

  /** Writes the numbers that are still owed. */
  flush(): void {
    for (const [code, window] of this.#windows) this.#closeWindow(code, window);
  }

  #closeWindow(code: ErrorCode, window: Window): void {
    if (window.timer !== null) clearTimeout(window.timer);
    this.#windows.delete(code);
    if (window.dropped > 0) {
      this.#logger.warn({ code, count: window.dropped }, 'more connections refused');
    }
  }
}
