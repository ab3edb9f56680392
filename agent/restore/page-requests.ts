import { CodedError } from '../../shared/errors/coded-error.ts';

type Deadline = { asked(): void; answered(): void };
type Request<Answer> = { resolve: (answer: Answer) => void; reject: (error: unknown) => void };

/** What was asked of a receiver and waits for its answer, by the number of the request; `what`: of the answers, for people. */
export class PageRequests<Answer extends { requestId: number }> {
  readonly #deadline: Deadline;
  readonly #what: string;
  readonly #open = new Map<number, Request<Answer>>();

  constructor(deadline: Deadline, what: string) {
    this.#deadline = deadline;
    this.#what = what;
  }

  /** Resolves with the answer; rejects where `send` does, and with the reason of `fail`. */
  ask(requestId: number, send: () => Promise<unknown>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#open.set(requestId, { resolve, reject });
      this.#deadline.asked();
      send().catch(reject);
    });
  }

  /** @throws CodedError PROTOCOL_VIOLATION for what was not asked for */
  take(answer: Answer): void {
    const request = this.#open.get(answer.requestId);
    if (request === undefined)
      throw new CodedError('PROTOCOL_VIOLATION', `${this.#what} came that were not asked for`);
    this.#open.delete(answer.requestId);
    this.#deadline.answered();
    request.resolve(answer);
  }

  /** Ends all that waits. */
  fail(reason: CodedError): void {
    for (const { reject } of this.#open.values()) reject(reason);
    this.#open.clear();
  }
}
