import type { IncomingMessage, Server as HttpServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import tls, { type TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import { CodedError, isCoded, systemErrorCode } from '../errors/coded-error.ts';
import type { DeviceId } from '../identity/device-id.ts';
import type { DeviceIdentity } from '../identity/device-identity.ts';
import type { Logger } from '../io/logger.ts';
import { formatAddress, type Address } from './address.ts';
import { Arrivals, type Arrival } from './arrivals.ts';
import { AttemptLimit } from './attempt-limit.ts';
import { acceptJoin } from './join-server.ts';
import type { LinkLimits } from './link-limits.ts';
import type { PeerBook } from './peer-book.ts';
import { RefusalLog } from './refusal-log.ts';
import { joinAlpn, linkAlpn, subprotocol, tlsOptions, verifiedDeviceId } from './tls-peer.ts';
import { WebSocketChannel } from './web-socket-channel.ts';

// Without `import`, which would also load all that `fetch` consists of.
const http = process.getBuiltinModule('node:http');

type Deps = {
  identity: DeviceIdentity;
  book: PeerBook;
  logger: Logger;
  /** Called in the turn in which the channel opened; from then on the channel is the callee's to end. */
  onChannel: (channel: WebSocketChannel) => void;
  now?: () => number;
};

/**
 * Listens on one address. Whoever connects is first known by the key that it proved in TLS, and only a paired device's
 * socket is handed to the HTTP and WebSocket parsers; of everybody else not a byte is read after the handshake, except
 * for one small join frame while an invitation is open. Refused connections are destroyed without a word and logged.
 */
export class LinkServer {
  readonly #deps: Deps;
  readonly #options: { address: Address; limits: LinkLimits };
  readonly #tlsServer: tls.Server;
  readonly #httpServer: HttpServer;
  readonly #webSocketServer: WebSocketServer;
  readonly #arrivals: Arrivals;
  readonly #refusals: RefusalLog;
  readonly #joinAttempts: AttemptLimit;
  readonly #verified = new WeakMap<object, Arrival>();

  constructor(deps: Deps, options: { address: Address; limits: LinkLimits }) {
    const { limits } = options;
    const now = deps.now ?? (() => Date.now());
    this.#deps = deps;
    this.#options = options;
    this.#refusals = new RefusalLog(deps, {
      linesMax: limits.refusalLinesMax,
      windowMs: limits.refusalWindowMs,
      now,
    });
    this.#joinAttempts = new AttemptLimit({ perMinuteMax: limits.joinsPerMinuteMax, now });
    this.#arrivals = new Arrivals({
      max: limits.pendingConnectionsMax,
      timeoutMs: limits.arrivalTimeoutMs,
      onLost: (arrival, why) => this.#noteLost(arrival, why),
    });
    this.#tlsServer = this.#createTlsServer();
    this.#httpServer = this.#createHttpServer();
    this.#webSocketServer = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: limits.messageBytesMax,
      maxFragments: limits.messageFragmentsMax,
      handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
    });
  }

  /** Connections that are neither refused nor a channel yet; never above the limit. */
  get pendingConnections(): number {
    return this.#arrivals.count;
  }

  /** Resolves with the bound address (its port is the real one where 0 was asked for). @throws CodedError LISTEN_FAILED */
  async start(): Promise<Address> {
    const { host, port } = this.#options.address;
    await new Promise<void>((resolve, reject) => {
      this.#tlsServer.once('error', (cause: Error) => {
        const text = formatAddress(this.#options.address);
        const why = systemErrorCode(cause) ?? cause.message;
        reject(
          new CodedError('LISTEN_FAILED', `cannot listen on ${text}: ${why}`, {
            hint: 'is the address one of this machine, and the port free?',
            cause,
          }),
        );
      });
      this.#tlsServer.listen({ host, port }, resolve);
    });
    this.#tlsServer.removeAllListeners('error');
    this.#tlsServer.on('error', (error) => {
      this.#deps.logger.error({ reason: error.message }, 'accepting connections failed');
    });
    const bound = this.#tlsServer.address() as AddressInfo;
    return { host: bound.address, port: bound.port };
  }

  /** Accepts nothing more and drops what is not a channel; resolves when the channels, too, were ended by their owner. */
  async stop(): Promise<void> {
    this.#arrivals.destroyAll();
    this.#refusals.flush();
    if (!this.#tlsServer.listening) return;
    await new Promise<void>((resolve) => this.#tlsServer.close(() => resolve()));
  }

  #createTlsServer(): tls.Server {
    const server = tls.createServer({
      ...tlsOptions(this.#deps.identity),
      requestCert: true,
      ALPNProtocols: [linkAlpn, joinAlpn],
      // never reached: the arrival's own time is shorter, and covers what follows as well
      handshakeTimeout: this.#options.limits.arrivalTimeoutMs * 2,
    });
    server.on('connection', (socket: Socket) => this.#arrivals.add(socket));
    server.on('tlsClientError', (error, socket) => {
      // where the other side just left, the ends are unknown here and the arrival tells
      const arrival = this.#arrivals.find(socket);
      if (arrival !== null) this.#refuse(arrival, new CodedError('LINK_TLS_FAILED', tlsReason(error)));
      socket.destroy();
    });
    server.on('secureConnection', (socket) => {
      socket.on('error', () => socket.destroy());
      const arrival = this.#arrivals.find(socket);
      if (arrival === null) socket.destroy();
      else this.#admit(socket, arrival);
    });
    return server;
  }

  #admit(socket: TLSSocket, arrival: Arrival): void {
    try {
      const deviceId = verifiedDeviceId(socket);
      arrival.deviceId = deviceId;
      if (socket.alpnProtocol === joinAlpn) {
        this.#acceptJoin(socket, arrival, deviceId);
        return;
      }
      if (socket.alpnProtocol !== linkAlpn) {
        throw new CodedError('LINK_TLS_FAILED', 'the other side does not say what it wants (ALPN)');
      }
      if (this.#deps.book.get(deviceId) === null) throw unpaired(deviceId);
    } catch (error) {
      this.#refuse(arrival, error);
      socket.destroy();
      return;
    }
    this.#verified.set(socket, arrival);
    this.#httpServer.emit('connection', socket);
  }

  #acceptJoin(socket: TLSSocket, arrival: Arrival, deviceId: DeviceId): void {
    const { book, logger } = this.#deps;
    if (!book.hasOpenInvitation()) {
      throw new CodedError('INVITATION_REFUSED', 'no invitation is open');
    }
    if (!this.#joinAttempts.allow(arrival.remoteAddress)) {
      throw new CodedError('LINK_OVERLOADED', 'too many attempts to join in a minute');
    }
    acceptJoin({ book, socket, deviceId }, this.#options.limits, (outcome) => {
      if (outcome instanceof Error) {
        this.#refuse(arrival, outcome);
        return;
      }
      arrival.settled = true;
      logger.info({ deviceId, role: outcome.role, grant: outcome.grant.role }, 'device paired by invitation');
    });
  }

  /** It never listens itself: it gets only sockets of paired devices, and the arrival's time bounds its headers. */
  #createHttpServer(): HttpServer {
    const server = http.createServer({ maxHeaderSize: this.#options.limits.httpHeaderBytesMax });
    const refuse = (socket: Duplex, what: string) => {
      const arrival = this.#verified.get(socket);
      const error = new CodedError('PROTOCOL_VIOLATION', `a paired device sent ${what}`);
      if (arrival !== undefined) this.#refuse(arrival, error);
      socket.destroy();
    };
    // without a listener of ours, Node would answer some of these by itself
    for (const event of ['request', 'checkContinue', 'checkExpectation', 'connect']) {
      server.on(event, (request: IncomingMessage) => refuse(request.socket, 'a request that is no upgrade'));
    }
    server.on('clientError', (error: Error, socket) => refuse(socket, `what is not HTTP: ${error.message}`));
    server.on('upgrade', (request: IncomingMessage, socket: TLSSocket, head: Buffer) => {
      const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
      const arrival = this.#verified.get(socket);
      if (request.url !== '/' || !offered.includes(subprotocol))
        refuse(socket, 'a wish for another protocol');
      else if (arrival === undefined || arrival.settled) socket.destroy();
      else this.#upgrade(arrival, request, socket, head);
    });
    return server;
  }

  #upgrade(arrival: Arrival, request: IncomingMessage, socket: TLSSocket, head: Buffer): void {
    const peer = arrival.deviceId === null ? null : this.#deps.book.get(arrival.deviceId);
    if (peer === null) {
      // unpaired since the handshake
      this.#refuse(arrival, unpaired(arrival.deviceId));
      socket.destroy();
      return;
    }
    this.#webSocketServer.handleUpgrade(request, socket, head, (webSocket) => {
      this.#arrivals.release(arrival);
      this.#deps.onChannel(new WebSocketChannel({ webSocket, socket, peer }, this.#options.limits));
    });
  }

  #noteLost(arrival: Arrival, why: 'overloaded' | 'slow' | 'left'): void {
    const errors = {
      overloaded: () => new CodedError('LINK_OVERLOADED', 'too many connections; this was the oldest'),
      slow: () => new CodedError('LINK_TIMEOUT', 'the connection did not become a link in time'),
      left: () => new CodedError('LINK_TLS_FAILED', 'the other side left before the link was up'),
    };
    this.#refuse(arrival, errors[why]());
  }

  #refuse(arrival: Arrival, error: unknown): void {
    if (arrival.settled) return;
    arrival.settled = true;
    const remote = formatAddress({ host: arrival.remoteAddress, port: arrival.remotePort });
    const fields = { remote, ...(arrival.deviceId === null ? {} : { deviceId: arrival.deviceId }) };
    if (!isCoded(error)) {
      this.#deps.logger.error(
        { ...fields, code: 'INTERNAL', reason: String(error) },
        'accepting a connection failed',
      );
    } else if (error.code === 'DISK_FAILED') {
      this.#deps.logger.error(
        { ...fields, code: error.code, reason: error.message },
        'a device could not be paired',
      );
    } else {
      this.#refusals.note(error.code, { ...fields, reason: error.message });
    }
  }
}

function unpaired(deviceId: DeviceId | null): CodedError {
  return new CodedError('LINK_UNPAIRED', `device ${deviceId ?? 'without a key'} is not paired here`);
}

function tlsReason(error: Error): string {
  const reason = 'reason' in error && typeof error.reason === 'string' ? error.reason : null;
  return `the TLS handshake failed: ${reason ?? systemErrorCode(error) ?? 'unknown reason'}`;
}
