/** How long a request may wait while nothing is answered; far longer than the chunk list of a huge file takes. */
export const defaultAnswerTimeoutMs: number = 15 * 60_000;

/**
 * Notices that the other side of a link leaves requests unanswered, however lively it is otherwise: it calls `onSilent`
 * once when requests are open and no part of any answer came for `timeoutMs`.
 */
export class AnswerDeadline {
  readonly #onSilent: () => void;
  readonly #timeoutMs: number;
  #openRequests = 0;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(deps: { onSilent: () => void }, options: { timeoutMs: number }) {
    this.#onSilent = deps.onSilent;
    this.#timeoutMs = options.timeoutMs;
  }

  /** A request is about to be sent: time runs from here even if it never gets out. */
  asked(): void {
    this.#openRequests += 1;
    if (this.#openRequests === 1 && !this.#stopped)
      this.#timer = setTimeout(() => this.#expire(), this.#timeoutMs);
  }

  /** A part of an answer came. */
  progressed(): void {
    this.#timer?.refresh();
  }

  /** A request is answered in full. */
  answered(): void {
    this.#openRequests -= 1;
    if (this.#openRequests === 0) this.#disarm();
    else this.progressed();
  }

  /** The link has ended: nothing is noticed any more. */
  stop(): void {
    this.#stopped = true;
    this.#disarm();
  }

  #expire(): void {
    this.stop();
    this.#onSilent();
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
