import { CodedError } from '../../shared/errors/coded-error.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { Channel } from '../../shared/link/channel.ts';
import type { PeerGrant } from '../../shared/link/peer.ts';

const closeTimeoutMs = 1000;

type MessageDirection = 'first-to-second' | 'second-to-first';

export type ChannelPairOptions = {
  /** Whom the first side talks to, and what its pairing says. */
  secondId?: DeviceId;
  secondGrant?: PeerGrant;
  firstId?: DeviceId;
  firstGrant?: PeerGrant;
  /** The first side's public key (SPKI DER), as the second sees it. */
  firstKey?: Buffer;
  /** A sender waits while the other side has this many bytes unread. */
  unreadBytesMax?: number;
  /** Called before each message goes over; may wait, and may change the bytes. Returning null swallows the message and cuts the link. */
  onMessage?: (message: Buffer, direction: MessageDirection) => Promise<Buffer | null> | Buffer | null;
};

/** Two ends of a link in memory, with order, back-pressure and `closed` like the real one. Either side's `close` ends both. */
export function createChannelPair(options: ChannelPairOptions = {}): [Channel, Channel] {
  const closing = Promise.withResolvers<CodedError | null>();
  const state = { ended: false };
  const unreadBytesMax = options.unreadBytesMax ?? 4 * 1024 * 1024;
  const toSecond = new Lane();
  const toFirst = new Lane();
  const end = (reason: CodedError | null): void => {
    if (state.ended) return;
    state.ended = true;
    toSecond.end();
    toFirst.end();
    closing.resolve(reason);
  };

  const side = (
    out: Lane,
    incoming: Lane,
    direction: MessageDirection,
    peerId: DeviceId,
    grant: PeerGrant,
    peerKey: Buffer,
  ): Channel => {
    let sending: Promise<void> = Promise.resolve();
    const transfer = async (message: Buffer): Promise<void> => {
      const cut = closing.promise.then(() => null);
      const passed =
        options.onMessage === undefined
          ? message
          : await Promise.race([options.onMessage(message, direction), cut]);
      if (passed === null) end(new CodedError('LINK_CLOSED', 'the test cut the link'));
      if (state.ended || passed === null) throw new CodedError('LINK_CLOSED', 'the link has ended');
      out.put(passed);
      await out.drained(unreadBytesMax);
    };
    return {
      peerId,
      peerKey,
      grant,
      receive: () => incoming.take(),
      send(message) {
        // the copy is what a socket makes: the caller may reuse its buffer
        const copy = Buffer.from(message);
        const result = sending.then(() => transfer(copy));
        sending = result.catch(() => {});
        return result;
      },
      close(reason) {
        // what was accepted goes over first, if the other side takes it
        const cut = setTimeout(() => end(reason ?? null), closeTimeoutMs);
        void sending.finally(() => {
          clearTimeout(cut);
          end(reason ?? null);
        });
      },
      closed: closing.promise,
      get bytesSent() {
        return out.bytesPut;
      },
      get bytesReceived() {
        return incoming.bytesTaken;
      },
    };
  };
  const replica: PeerGrant = { role: 'replica' };
  return [
    side(
      toSecond,
      toFirst,
      'first-to-second',
      options.secondId ?? deviceId('SECOND'),
      options.secondGrant ?? replica,
      Buffer.alloc(0),
    ),
    side(
      toFirst,
      toSecond,
      'second-to-first',
      options.firstId ?? deviceId('FIRST'),
      options.firstGrant ?? replica,
      options.firstKey ?? Buffer.alloc(0),
    ),
  ];
}

const deviceId = (name: string): DeviceId => name as DeviceId;

/** Messages on their way in one direction. */
class Lane {
  bytesPut = 0;
  bytesTaken = 0;
  private readonly waiting: Buffer[] = [];
  private unreadBytes = 0;
  private ended = false;
  private readonly readers: ((message: Buffer | null) => void)[] = [];
  private readonly writers: (() => void)[] = [];

  put(message: Buffer): void {
    this.bytesPut += message.length;
    const reader = this.readers.shift();
    if (reader !== undefined) {
      this.bytesTaken += message.length;
      reader(message);
      return;
    }
    this.waiting.push(message);
    this.unreadBytes += message.length;
  }

  take(): Promise<Buffer | null> {
    const message = this.waiting.shift();
    if (message !== undefined) {
      this.unreadBytes -= message.length;
      this.bytesTaken += message.length;
      for (const wake of this.writers.splice(0)) wake();
      return Promise.resolve(message);
    }
    if (this.ended) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.readers.push(resolve);
    });
  }

  async drained(unreadBytesMax: number): Promise<void> {
    while (this.unreadBytes > unreadBytesMax && !this.ended) {
      await new Promise<void>((resolve) => {
        this.writers.push(resolve);
      });
    }
  }

  end(): void {
    this.ended = true;
    for (const reader of this.readers.splice(0)) reader(null);
    for (const wake of this.writers.splice(0)) wake();
  }
}
