import assert from 'node:assert/strict';
import type { TLSSocket } from 'node:tls';
import { WebSocket, type RawData } from 'ws';
import { CodedError } from '../errors/coded-error.ts';
import type { DeviceId } from '../identity/device-id.ts';
import { collectEvery, exposedCollector } from '../io/garbage-collection.ts';
import type { Channel } from './channel.ts';
import type { LinkLimits } from './link-limits.ts';
import { MessageQueue } from './message-queue.ts';
import { sameGrant, type Peer, type PeerGrant } from './peer.ts';
import { publicKeyOf } from './tls-peer.ts';

/** Close codes: RFC 6455 §7.4.1; 4000 and above belong to the application. */
const closeNormal = 1000;
const closeUnsupported = 1003;
const closeWithReason = 4000;

const collectEveryBytes = 8 * 1024 * 1024;
/** Of all links of this thread. */
let received: ((bytes: number) => void) | null = null;

/** A `Channel` over a WebSocket whose device was verified. Make it in the turn in which the socket opened, so that no message is missed. */
export class WebSocketChannel implements Channel {
  readonly peerId: DeviceId;
  readonly peerKey: Buffer;
  readonly grant: PeerGrant;
  readonly remoteAddress: string;
  readonly closed: Promise<CodedError | null>;
  readonly #webSocket: WebSocket;
  readonly #socket: TLSSocket;
  readonly #limits: LinkLimits;
  readonly #queue = new MessageQueue();
  readonly #resolveClosed: (reason: CodedError | null) => void;
  readonly #liveness: NodeJS.Timeout;
  #reason: CodedError | null | undefined;
  #paused = false;
  #sendsPending = 0;
  #bytesSent = 0;
  #bytesReceived = 0;
  #sendsDone = 0;
  #progressMarks = '';
  #silentMs = 0;
  #watchedAt = performance.now();

  constructor(
    deps: { webSocket: WebSocket; socket: TLSSocket; peer: Pick<Peer, 'deviceId' | 'grant'> },
    limits: LinkLimits,
  ) {
    this.peerId = deps.peer.deviceId;
    this.peerKey = publicKeyOf(deps.socket);
    this.grant = deps.peer.grant;
    this.#webSocket = deps.webSocket;
    this.#socket = deps.socket;
    this.#limits = limits;
    this.remoteAddress = remoteAddressOf(deps.socket);
    const { promise, resolve } = Promise.withResolvers<CodedError | null>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    deps.socket.setNoDelay(true);
    deps.webSocket.on('message', (data, isBinary) => this.#accept(data, isBinary));
    deps.webSocket.on('error', (error) => this.#fail(error));
    deps.webSocket.on('close', (code, reason) => this.#end(code, reason));
    this.#liveness = setInterval(() => this.#watchLiveness(), limits.pingIntervalMs);
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  async receive(): Promise<Buffer | null> {
    const message = await this.#queue.take();
    if (this.#paused && this.#queue.bytes <= this.#limits.receiveQueueBytesMax / 2) {
      this.#paused = false;
      this.#silentMs = 0;
      this.#webSocket.resume();
    }
    return message;
  }

  async send(message: Uint8Array): Promise<void> {
    assert(
      message.length <= this.#limits.messageBytesMax,
      `a message of ${message.length} bytes is too large`,
    );
    if (this.#webSocket.readyState !== WebSocket.OPEN || this.#reason !== undefined)
      throw this.#closedError();
    this.#sendsPending += 1;
    if (this.#sendsPending === 1) this.#silentMs = 0;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#webSocket.send(message, { binary: true, compress: false }, (error) => {
          if (error === undefined || error === null) resolve();
          else reject(this.#closedError(error));
        });
      });
    } finally {
      this.#sendsPending -= 1;
      this.#sendsDone += 1;
    }
    this.#bytesSent += message.length;
  }

  close(reason?: CodedError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason ?? null;
    this.#queue.end(true);
    // a paused reader would never see the other side's close frame
    this.#webSocket.resume();
    if (reason === undefined) this.#webSocket.close(closeNormal);
    else this.#webSocket.close(closeWithReason, reason.code);
    setTimeout(() => this.#webSocket.terminate(), this.#limits.closeTimeoutMs).unref();
  }

  /** Cuts the connection now: nothing more is sent, nothing that waits is received. */
  terminate(reason: CodedError): void {
    this.#reason ??= reason;
    this.#queue.end(true);
    this.#webSocket.terminate();
  }

  /** True when the pairing still allows exactly what this channel was opened for. */
  isAllowedBy(peer: Peer | null): boolean {
    return peer !== null && peer.deviceId === this.peerId && sameGrant(peer.grant, this.grant);
  }

  #accept(data: RawData, isBinary: boolean): void {
    if (this.#reason !== undefined) return;
    if (!isBinary || !Buffer.isBuffer(data)) {
      this.#reason = new CodedError('PROTOCOL_VIOLATION', 'the other side sent text');
      this.#queue.end(true);
      this.#webSocket.close(closeUnsupported);
      setTimeout(() => this.#webSocket.terminate(), this.#limits.closeTimeoutMs).unref();
      return;
    }
    this.#bytesReceived += data.length;
    received ??= collectGarbageOfReceived();
    received(data.length);
    this.#queue.put(data);
    if (!this.#paused && this.#queue.bytes >= this.#limits.receiveQueueBytesMax) {
      this.#paused = true;
      this.#webSocket.pause();
    }
  }

  /** ws ends the connection itself after an error; what came whole before it is still received. */
  #fail(error: Error): void {
    const violation = 'code' in error && typeof error.code === 'string' && error.code.startsWith('WS_ERR_');
    this.#reason ??= violation
      ? new CodedError('PROTOCOL_VIOLATION', `the other side broke the WebSocket protocol: ${error.message}`)
      : new CodedError('LINK_CLOSED', `the connection failed: ${error.message}`, { cause: error });
    this.#queue.end(false);
    // ws would wait for a close frame, up to 30 s, from a peer that speaks garbage
    setTimeout(() => this.#webSocket.terminate(), this.#limits.closeTimeoutMs).unref();
  }

  #end(code: number, peerReason: Buffer): void {
    clearInterval(this.#liveness);
    if (this.#reason === undefined) {
      this.#reason =
        code === closeNormal
          ? null
          : new CodedError('LINK_CLOSED', closeMessage(code, peerReason), { context: { closeCode: code } });
    }
    this.#queue.end(false);
    this.#resolveClosed(this.#reason);
  }

  /**
   * Any progress counts: bytes read, a message handed to the kernel, a shrinking backlog. While we hold the other side
   * back ourselves and have nothing to send, silence says nothing about it. Pings go out whatever happens, so that the
   * other side sees progress while its messages wait here.
   */
  #watchLiveness(): void {
    const marks = `${this.#socket.bytesRead} ${this.#sendsDone} ${this.#webSocket.bufferedAmount}`;
    const heldBack = this.#paused && this.#sendsPending === 0;
    const now = performance.now();
    // when this program itself stood still, what the other side sent meanwhile is not read yet
    const elapsedMs = Math.min(now - this.#watchedAt, 2 * this.#limits.pingIntervalMs);
    this.#watchedAt = now;
    this.#silentMs = marks !== this.#progressMarks || heldBack ? 0 : this.#silentMs + elapsedMs;
    this.#progressMarks = marks;
    if (this.#silentMs >= this.#limits.idleTimeoutMs) {
      this.terminate(
        new CodedError('LINK_TIMEOUT', `the other side made no progress in ${this.#limits.idleTimeoutMs} ms`),
      );
      return;
    }
    // a ping behind a full backlog helps nobody and would make the backlog grow
    if (this.#webSocket.readyState === WebSocket.OPEN && this.#webSocket.bufferedAmount === 0) {
      this.#webSocket.ping();
    }
  }

  #closedError(cause?: unknown): CodedError {
    if (this.#reason !== undefined && this.#reason !== null) return this.#reason;
    return new CodedError('LINK_CLOSED', 'the connection has ended', { cause });
  }
}

/**
 * What comes is garbage as soon as it is written down, and takes twice its size. V8 let 90 MB of it gather, and marked its
 * heap in steps while more came.
 */
function collectGarbageOfReceived(): (bytes: number) => void {
  const gc = exposedCollector();
  return collectEvery(collectEveryBytes, () => gc({ type: 'minor' }));
}

function remoteAddressOf(socket: {
  remoteAddress?: string | undefined;
  remotePort?: number | undefined;
}): string {
  const host = socket.remoteAddress ?? 'unknown';
  return host.includes(':') ? `[${host}]:${socket.remotePort ?? 0}` : `${host}:${socket.remotePort ?? 0}`;
}

function closeMessage(code: number, peerReason: Buffer): string {
  const text = peerReason.toString('utf8').replaceAll(/[^A-Z_]/g, '');
  if (code === closeWithReason && text !== '') return `the other side ended the connection: ${text}`;
  if (code === 1006) return 'the connection broke';
  return `the other side ended the connection with code ${code}`;
}
