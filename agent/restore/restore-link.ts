import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { ReceiverSession } from './receiver-session.ts';

export type RestoreLinkDeps = {
  /** The next link to the receiver, whoever dials; waits for it, with back-off between attempts. */
  nextChannel(signal: AbortSignal): Promise<Channel>;
  /** The link was lost and comes back (or not): for the user to see. */
  onState(state: { linked: boolean; reason: CodedError | null }): void;
};

export type RestoreLinkOptions = {
  programVersion: string;
  /** Without a link, or without anything received over links that come and go, for so long the restore gives up. */
  patienceMs: number;
  /** A receiver that answers no request for so long gives nothing over this link. */
  answerTimeoutMs: number;
};

/** One receiver over as many links as it takes: what fails because a link ended is done again over the next one. */
export class RestoreLink {
  readonly #deps: RestoreLinkDeps;
  readonly #options: RestoreLinkOptions;
  readonly #stopping = new AbortController();
  #session: Promise<ReceiverSession> | null = null;
  #current: ReceiverSession | null = null;
  #lastProgressAt = performance.now();

  constructor(deps: RestoreLinkDeps, options: RestoreLinkOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** To be called when something useful came: patience begins anew. */
  noteProgress(): void {
    this.#lastProgressAt = performance.now();
  }

  /**
   * Runs the operation over a live session, again and again while links end under it; it must be safe to repeat.
   * @throws CodedError what the operation throws, unless a new link may help; LINK_TIMEOUT when patience ends
   */
  async run<T>(operation: (session: ReceiverSession) => Promise<T>): Promise<T> {
    for (;;) {
      const session = await this.#connected();
      try {
        return await operation(session);
      } catch (error) {
        if (!isLinkLoss(error) || this.#stopping.signal.aborted) throw error;
        this.#forget(session, error);
        if (performance.now() - this.#lastProgressAt > this.#options.patienceMs) {
          throw new CodedError('LINK_TIMEOUT', 'the receiver gave nothing more for too long', {
            hint: 'run the same command again later: it continues',
            cause: error,
          });
        }
      }
    }
  }

  /** Ends the link; what runs fails with LINK_CLOSED. */
  close(): void {
    this.#stopping.abort();
    this.#current?.close();
  }

  #connected(): Promise<ReceiverSession> {
    this.#session ??= this.#connect();
    return this.#session;
  }

  async #connect(): Promise<ReceiverSession> {
    const waiting = new AbortController();
    const giveUp = setTimeout(() => waiting.abort(), this.#options.patienceMs);
    try {
      const channel = await this.#deps.nextChannel(AbortSignal.any([this.#stopping.signal, waiting.signal]));
      const session = new ReceiverSession(channel, this.#options);
      this.#current = session;
      this.#deps.onState({ linked: true, reason: null });
      return session;
    } catch (error) {
      if (!waiting.signal.aborted || this.#stopping.signal.aborted) throw error;
      throw new CodedError('LINK_TIMEOUT', 'the receiver could not be reached for too long', {
        hint: 'run the same command again later: it continues',
        cause: error,
      });
    } finally {
      clearTimeout(giveUp);
    }
  }

  #forget(session: ReceiverSession, reason: CodedError): void {
    if (this.#current !== session) return;
    this.#current = null;
    this.#session = null;
    session.close();
    this.#deps.onState({ linked: false, reason });
  }
}

/** Codes after which the same operation over a new link may succeed. */
function isLinkLoss(error: unknown): error is CodedError {
  return isCoded(error) && error.code.startsWith('LINK_') && error.retryable;
}
