import { CodedError } from '../errors/coded-error.ts';
import type { Channel } from '../link/channel.ts';
import type { Message } from '../protocol/codec.ts';
import type { Hello } from '../protocol/hello.ts';
import { AnswerDeadline } from './answer-deadline.ts';
import { ContentFetcher } from './content-fetcher.ts';
import { MessageLink } from './message-link.ts';

/** What is left for the owner of an `AskingLink`: everything but the hello and the answers about content. */
export type OtherMessage = Exclude<Message, { type: 'hello' | 'content' | 'gone' | 'chunks' }>;

export type AskingLinkOptions = {
  own: Pick<Hello, 'program' | 'programVersion' | 'deviceRole'>;
  peerRole: Hello['deviceRole'];
  /** The hello, and while requests are open a part of some answer, must come within this time. */
  answerTimeoutMs: number;
};

/**
 * The end of a link that asks for content, for a receiver that pulls and for a restore: says hello, fetches through
 * `fetcher`, and ends a link whose other side keeps it up without answering.
 */
export class AskingLink {
  readonly fetcher: ContentFetcher;
  /** For requests of other kinds: tell it when one is asked and when it is answered. */
  readonly deadline: AnswerDeadline;
  readonly #channel: Channel;
  readonly #link: MessageLink;
  readonly #options: AskingLinkOptions;
  #silence: CodedError | null = null;

  /** Takes over the channel. */
  constructor(channel: Channel, options: AskingLinkOptions) {
    this.#channel = channel;
    this.#options = options;
    this.#link = new MessageLink(channel);
    this.deadline = new AnswerDeadline(
      { onSilent: () => this.#giveUp() },
      { timeoutMs: options.answerTimeoutMs },
    );
    this.fetcher = new ContentFetcher({ send: (message) => this.send(message), deadline: this.deadline });
  }

  /** Resolves when the message went to the kernel. @throws CodedError LINK_CLOSED */
  async send(message: Message): Promise<void> {
    await this.#link.send(message);
  }

  /**
   * Hands every message that is no answer about content to `take`, which must not wait: content goes on arriving whatever
   * becomes of it. Resolves when the link has ended.
   * @throws CodedError PROTOCOL_VIOLATION, LINK_TIMEOUT (nothing is answered), what the other side refused the hello with, what `take` throws
   */
  async receiveAll(take: (message: OtherMessage) => void): Promise<void> {
    const { own, peerRole, answerTimeoutMs } = this.#options;
    const hello = await this.#link.greet(own, peerRole, answerTimeoutMs);
    for (let message = hello && (await this.#link.receive()); message !== null;) {
      this.#takeMessage(message, take);
      message = await this.#link.receive();
    }
    if (this.#silence !== null) throw this.#silence;
  }

  /** Rejects what is asked for with `reason` and ends the link; the other side is told `told`, if that may cross the wire. */
  end(reason: CodedError, told: CodedError | null): void {
    this.deadline.stop();
    this.fetcher.end(reason);
    this.#link.end(told);
  }

  #takeMessage(message: Message, take: (message: OtherMessage) => void): void {
    const { type } = message;
    if (type === 'content') this.fetcher.receiveContent(message);
    else if (type === 'gone') this.fetcher.receiveGone(message);
    else if (type === 'chunks') this.fetcher.receiveChunks(message);
    else if (type !== 'hello') take(message);
    else throw new CodedError('PROTOCOL_VIOLATION', 'the other side says hello twice');
  }

  #giveUp(): void {
    const { answerTimeoutMs } = this.#options;
    this.#silence = new CodedError(
      'LINK_TIMEOUT',
      `the other side answered no request in ${answerTimeoutMs} ms`,
    );
    this.#channel.close(this.#silence);
  }
}
