import { CodedError, isCoded } from '../errors/coded-error.ts';
import { errorTable } from '../errors/error-table.ts';
import type { Channel } from '../link/channel.ts';
import { decodeMessage, encodeMessage, type Message } from '../protocol/codec.ts';
import type { Hello } from '../protocol/hello.ts';
import { limits } from '../protocol/limits.ts';
import { protocolVersion } from '../protocol/protocol-version.ts';
import { defaultAnswerTimeoutMs } from './answer-deadline.ts';

/** A Channel that speaks messages: the hello of both sides, then whatever they are about, and a last word on errors. */
export class MessageLink {
  private readonly channel: Channel;

  constructor(channel: Channel) {
    this.channel = channel;
  }

  /** Resolves when the message went to the kernel. @throws CodedError LINK_CLOSED */
  async send(message: Message): Promise<void> {
    await this.sendEncoded(encodeMessage(message));
  }

  /** The same of a message that is encoded already; its bytes are no longer needed then. @throws CodedError LINK_CLOSED */
  async sendEncoded(message: Buffer): Promise<void> {
    await this.channel.send(message);
  }

  /** The next message; null once the link ended. @throws CodedError PROTOCOL_VIOLATION */
  async receive(): Promise<Message | null> {
    const bytes = await this.channel.receive();
    return bytes === null ? null : decodeMessage(bytes);
  }

  /**
   * Says hello and hears the other side's; null when the link ended before. The time is long, because a receiver that is
   * still at work for the link before, or indexes anew, says hello only behind that.
   * @throws CodedError PROTOCOL_VIOLATION (no hello, no common version, another role than `peerRole`), LINK_TIMEOUT, or what it refused with
   */
  async greet(
    own: Pick<Hello, 'program' | 'programVersion' | 'deviceRole'>,
    peerRole: Hello['deviceRole'],
    timeoutMs: number = defaultAnswerTimeoutMs,
  ): Promise<Hello | null> {
    const silence = new CodedError('LINK_TIMEOUT', `the other side said no hello in ${timeoutMs} ms`);
    const timer = setTimeout(() => this.channel.close(silence), timeoutMs);
    try {
      await this.send({ type: 'hello', protocolVersions: [protocolVersion], ...own });
      const message = await this.receive();
      return message === null ? null : checkedHello(message, peerRole);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the link; tells the other side why, where the code may cross the wire. Does not wait for a peer that reads nothing. */
  end(reason: CodedError | null): void {
    if (reason !== null && errorTable[reason.code].crossesWire) {
      const cut = (text: string): string =>
        Buffer.from(text)
          .subarray(0, limits.textBytesMax / 2)
          .toString();
      const { code, message, hint } = reason;
      // the channel sends what it accepted before it closes
      this.send({
        type: 'refuse',
        folder: null,
        code,
        message: cut(message),
        hint: hint === null ? null : cut(hint),
      }).catch(() => {});
    }
    this.channel.close(reason ?? undefined);
  }
}

function checkedHello(message: Message, peerRole: Hello['deviceRole']): Hello {
  if (message.type === 'refuse') throw new CodedError('LINK_CLOSED', `refused: ${message.message}`);
  if (message.type !== 'hello')
    throw new CodedError('PROTOCOL_VIOLATION', `${message.type} came before hello`);
  if (!message.protocolVersions.includes(protocolVersion)) {
    throw new CodedError(
      'PROTOCOL_VIOLATION',
      `${message.program} ${message.programVersion} speaks protocol ${message.protocolVersions.join(', ')}, this is ${protocolVersion}`,
      { hint: 'update the older of the two programs' },
    );
  }
  if (message.deviceRole !== peerRole) {
    throw new CodedError(
      'PROTOCOL_VIOLATION',
      `the other side is a ${message.deviceRole}, not a ${peerRole}`,
    );
  }
  return message;
}

/** Any error as one with a code: what is no CodedError is a defect. */
export function asCoded(error: unknown): CodedError {
  if (isCoded(error)) return error;
  return new CodedError('INTERNAL', 'a defect of the program ended the link', { cause: error });
}
