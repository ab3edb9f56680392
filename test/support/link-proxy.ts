import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { SeededRandom } from './seeded-random.ts';

export type Endpoint = { host: string; port: number };

/** `up`: from the side that dialled to the side that listens. */
export type Direction = 'up' | 'down';

type Pipe = { client: net.Socket; upstream: net.Socket };

/**
 * A TCP proxy that is a bad network: it cuts, delays, throttles, goes silent and flips bits, by a seed.
 * It counts every byte, so that tests can say what a link has cost.
 */
export class LinkProxy {
  readonly endpoint: Endpoint;
  /** Bytes that were passed on since the start. */
  readonly bytes: Record<Direction, number> = { up: 0, down: 0 };
  /** Connections that were taken since the start. */
  connections = 0;
  /** How long each piece is held back. */
  delayMs = 0;
  /** Per direction and connection. */
  bytesPerSecond = Number.POSITIVE_INFINITY;

  readonly #server: net.Server;
  readonly #upstream: Endpoint;
  readonly #random: SeededRandom;
  readonly #pipes = new Set<Pipe>();
  #refusing = false;
  #silent = false;
  #corruptAfterBytes: number | null = null;
  #thresholds: { direction: Direction; total: number; reached: () => void }[] = [];

  private constructor(server: net.Server, upstream: Endpoint, seed: number | string) {
    const address = server.address() as net.AddressInfo;
    this.endpoint = { host: address.address, port: address.port };
    this.#server = server;
    this.#upstream = upstream;
    this.#random = new SeededRandom(seed);
    server.on('connection', (client) => this.#take(client));
  }

  /** Listens on a free port of `host`. */
  static async start(
    upstream: Endpoint,
    options: { host?: string; seed?: number | string } = {},
  ): Promise<LinkProxy> {
    const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
    server.listen(0, options.host ?? '127.0.0.1');
    await once(server, 'listening');
    return new LinkProxy(server, upstream, options.seed ?? 1);
  }

  get total(): number {
    return this.bytes.up + this.bytes.down;
  }

  get openConnections(): number {
    return this.#pipes.size;
  }

  /** Resets every connection at once; new ones are taken. */
  cut(): void {
    for (const { client, upstream } of this.#pipes) {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
  }

  /** Cuts and takes no connection until `restore`. */
  sever(): void {
    this.#refusing = true;
    this.cut();
  }

  /** From now on nothing passes in either direction, while all connections look alive. */
  fallSilent(): void {
    this.#silent = true;
    for (const { client, upstream } of this.#pipes) {
      client.pause();
      upstream.pause();
    }
  }

  /** Ends `sever` and `fallSilent`; connections that were silenced are cut. */
  restore(): void {
    if (this.#silent) this.cut();
    this.#silent = false;
    this.#refusing = false;
  }

  /** Flips one bit in the piece that passes `bytes` from now, once. */
  corruptAfter(bytes: number): void {
    this.#corruptAfterBytes = this.total + bytes;
  }

  /** Resolves when so many more bytes have passed. */
  async passed(direction: Direction, bytes: number): Promise<void> {
    const total = this.bytes[direction] + bytes;
    await new Promise<void>((reached) => {
      this.#thresholds.push({ direction, total, reached });
    });
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
  }

  #take(client: net.Socket): void {
    if (this.#refusing) {
      client.resetAndDestroy();
      return;
    }
    this.connections++;
    const { port, host } = this.#upstream;
    const upstream = net.connect({ port, host, allowHalfOpen: true });
    const pipe: Pipe = { client, upstream };
    this.#pipes.add(pipe);
    const end = (): void => {
      this.#pipes.delete(pipe);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', () => {
        if (client.destroyed && upstream.destroyed) end();
      });
    }
    this.#forward(client, upstream, 'up');
    this.#forward(upstream, client, 'down');
    if (!this.#silent) client.resume();
  }

  #forward(from: net.Socket, to: net.Socket, direction: Direction): void {
    // An end may come while the last piece is still held back, and must not overtake it.
    let passed = Promise.resolve();
    from.on('data', (piece: Buffer) => {
      from.pause();
      passed = this.#pass(piece, from, to, direction);
    });
    from.on('end', () => {
      void passed.then(() => to.end());
    });
  }

  async #pass(piece: Buffer, from: net.Socket, to: net.Socket, direction: Direction): Promise<void> {
    const waitMs = this.delayMs + (piece.length / this.bytesPerSecond) * 1000;
    if (waitMs > 0) await delay(waitMs);
    if (this.#corruptAfterBytes !== null && this.total + piece.length > this.#corruptAfterBytes) {
      this.#corruptAfterBytes = null;
      const at = this.#random.integer(0, piece.length - 1);
      piece[at] = (piece[at] ?? 0) ^ (1 << this.#random.integer(0, 7));
    }
    this.bytes[direction] += piece.length;
    if (!to.destroyed && !to.write(piece)) {
      await drainOrClose(to);
    }
    const reached = this.#thresholds.filter(
      (threshold) => this.bytes[threshold.direction] >= threshold.total,
    );
    this.#thresholds = this.#thresholds.filter((threshold) => !reached.includes(threshold));
    for (const threshold of reached) threshold.reached();
    if (!this.#silent) from.resume();
  }
}

async function drainOrClose(socket: net.Socket): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}

const portsFrom = 20_000;
const ports = 12_000;
let nextPort = (process.pid * 7417) % ports;

/**
 * A TCP port of `host` that nobody listens on at this moment. It is none of those that the kernel gives to connections
 * and to who listens on port 0, and this process gives it out once: so it stays free until it is used.
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let tries = 0; tries < ports; tries += 1) {
    const port = portsFrom + nextPort;
    nextPort = (nextPort + 1) % ports;
    if (await isFree(host, port)) return port;
  }
  throw new Error(`no port of ${host} is free`);
}

async function isFree(host: string, port: number): Promise<boolean> {
  const server = net.createServer().listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return false;
    throw error;
  }
  server.close();
  await once(server, 'close');
  return true;
}

/** HOST:PORT as the commands take it. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
