import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import { formatAddress, parseAddress } from '../../shared/link/address.ts';

/** Passes TCP connections on to another address, until it is told to swallow or cut them. */
export class TcpRelay {
  readonly #server: net.Server;
  readonly #target: string;
  readonly #sockets = new Set<Socket>();
  #swallowing = false;

  private constructor(target: string) {
    this.#target = target;
    this.#server = net.createServer((incoming) => this.#relay(incoming));
  }

  static async start(target: string): Promise<{ relay: TcpRelay; address: string }> {
    const relay = new TcpRelay(target);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    const { port } = relay.#server.address() as AddressInfo;
    return { relay, address: formatAddress({ host: '127.0.0.1', port }) };
  }

  /** From now on the connections that there are stay open and pass nothing: neither side is told. */
  swallow(): void {
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.removeAllListeners('close');
      socket.resume();
    }
    this.#swallowing = true;
  }

  /** New connections are passed on again; those that were swallowed stay so. */
  pass(): void {
    this.#swallowing = false;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #relay(incoming: Socket): void {
    this.#keep(incoming);
    if (this.#swallowing) {
      incoming.resume();
      return;
    }
    const outgoing = net.connect(parseAddress(this.#target));
    this.#keep(outgoing);
    incoming.pipe(outgoing).pipe(incoming);
    incoming.on('close', () => outgoing.destroy());
    outgoing.on('close', () => incoming.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('end', () => this.#sockets.delete(socket));
  }
}
