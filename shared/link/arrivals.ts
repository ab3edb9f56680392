import type { Socket } from 'node:net';
import type { DeviceId } from '../identity/device-id.ts';

/** A connection that was accepted and is not a channel yet. */
export type Arrival = {
  readonly socket: Socket;
  /** Where it comes from; known also after the socket was destroyed. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Whose key was proven; null before, or where none was. */
  deviceId: DeviceId | null;
  /** Set when the connection was refused or became something: what happens to the socket then is not news. */
  settled: boolean;
};

type Options = {
  /** More than so many at once, and the oldest is dropped. */
  max: number;
  timeoutMs: number;
  /** The oldest of too many, one that took too long, or one that left by itself; not called for settled ones. */
  onLost: (arrival: Arrival, why: 'overloaded' | 'slow' | 'left') => void;
};

/** Connections between being accepted and being a channel, bounded in number and time whatever they do or do not say. */
export class Arrivals {
  readonly #options: Options;
  readonly #byKey = new Map<string, Arrival>();

  constructor(options: Options) {
    this.#options = options;
  }

  get count(): number {
    return this.#byKey.size;
  }

  /** Takes charge of an accepted TCP connection. */
  add(socket: Socket): void {
    const { remoteAddress, remotePort } = socket;
    const key = endpoints(socket);
    if (remoteAddress === undefined || remotePort === undefined || key === null) {
      // reset before we looked
      socket.destroy();
      return;
    }
    const arrival: Arrival = { socket, remoteAddress, remotePort, deviceId: null, settled: false };
    const timer = setTimeout(() => this.#lose(key, arrival, 'slow'), this.#options.timeoutMs);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#lose(key, arrival, 'left');
    });
    this.#byKey.set(key, arrival);
    for (const [oldestKey, oldest] of this.#byKey) {
      if (this.#byKey.size <= this.#options.max) break;
      this.#lose(oldestKey, oldest, 'overloaded');
    }
  }

  /** The arrival that the socket (TCP or TLS over it) belongs to; null when it was lost, or its socket is closed. */
  find(socket: Socket): Arrival | null {
    const key = endpoints(socket);
    return key === null ? null : (this.#byKey.get(key) ?? null);
  }

  /** The connection has become something that looks after itself: neither bound counts for it any more. */
  release(arrival: Arrival): void {
    arrival.settled = true;
    for (const [key, other] of this.#byKey) if (other === arrival) this.#byKey.delete(key);
  }

  destroyAll(): void {
    for (const [key, arrival] of this.#byKey) {
      arrival.settled = true;
      this.#lose(key, arrival, 'left');
    }
  }

  #lose(key: string, arrival: Arrival, why: 'overloaded' | 'slow' | 'left'): void {
    if (this.#byKey.get(key) !== arrival) return;
    this.#byKey.delete(key);
    if (!arrival.settled) this.#options.onLost(arrival, why);
    arrival.settled = true;
    arrival.socket.destroy();
  }
}

/** TLS hides the TCP socket that it runs over, but not its two ends. */
function endpoints(socket: Socket): string | null {
  if (socket.remotePort === undefined) return null;
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
}
