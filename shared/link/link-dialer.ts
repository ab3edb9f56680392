import tls, { type TLSSocket } from 'node:tls';
import { WebSocket, type ClientOptions } from 'ws';
import { CodedError, isCoded, systemErrorCode } from '../errors/coded-error.ts';
import type { DeviceId } from '../identity/device-id.ts';
import type { DeviceIdentity } from '../identity/device-identity.ts';
import { parseAddress } from './address.ts';
import type { LinkLimits } from './link-limits.ts';
import type { Peer } from './peer.ts';
import { linkAlpn, subprotocol, tlsOptions, verifiedDeviceId } from './tls-peer.ts';
import { WebSocketChannel } from './web-socket-channel.ts';

type Deps = { identity: DeviceIdentity };
type DialOptions = { expected: DeviceId; alpn: string; timeoutMs: number; signal: AbortSignal };

/**
 * Dials the peer's addresses in turn until one gives a link to exactly that device.
 * @throws CodedError LINK_WRONG_DEVICE, LINK_NO_CERTIFICATE, LINK_TLS_FAILED (somebody else answered, or badly),
 *   LINK_CLOSED (the other side ended the connection: perhaps this device is not paired there), LINK_UNREACHABLE, LINK_TIMEOUT
 */
export async function dialPeer(
  deps: Deps,
  peer: Peer,
  options: { limits: LinkLimits; signal: AbortSignal },
): Promise<WebSocketChannel> {
  const { limits, signal } = options;
  return firstThatAnswers(peer.addresses, signal, async (address) => {
    const socket = await dialDevice(deps, address, {
      expected: peer.deviceId,
      alpn: linkAlpn,
      timeoutMs: limits.dialTimeoutMs,
      signal,
    });
    return upgrade(socket, peer, options);
  });
}

/**
 * A TLS connection to exactly the expected device. Nothing was sent over it; the caller owns it.
 * A name is tried with all its addresses, IPv4 and IPv6.
 * @throws CodedError like `dialPeer`
 */
export async function dialDevice(deps: Deps, address: string, options: DialOptions): Promise<TLSSocket> {
  const { host, port } = parseAddress(address);
  const { expected, alpn, timeoutMs, signal } = options;
  return new Promise((resolve, reject) => {
    // no server name is sent, no session is kept: each handshake stands alone
    const socket = tls.connect({
      ...tlsOptions(deps.identity),
      host,
      port,
      servername: '',
      ALPNProtocols: [alpn],
      checkServerIdentity: () => undefined,
    });
    const settle = (error: CodedError | null) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.off('close', onClose);
      if (error === null) return resolve(socket);
      socket.destroy();
      reject(error);
    };
    const onAbort = () => settle(new CodedError('LINK_CLOSED', 'dialling was given up'));
    const onClose = () => settle(new CodedError('LINK_CLOSED', `${address} ended the connection`));
    const timer = setTimeout(
      () => settle(new CodedError('LINK_TIMEOUT', `${address} did not answer in ${timeoutMs} ms`)),
      timeoutMs,
    );
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    // stays for good: a socket without a listener for errors would end the process
    socket.on('error', (error: Error) => settle(connectError(address, error)));
    socket.on('close', onClose);
    socket.once('secureConnect', () => settle(checkDevice(socket, address, { expected, alpn })));
  });
}

/**
 * Calls `attempt` with one address after the other until one succeeds. Of the failures the one that says most is thrown:
 * that something answered tells more than that nothing did.
 */
export async function firstThatAnswers<T>(
  addresses: readonly string[],
  signal: AbortSignal,
  attempt: (address: string) => Promise<T>,
): Promise<T> {
  let worst: CodedError | null = null;
  for (const address of addresses) {
    try {
      return await attempt(address);
    } catch (error) {
      if (!isCoded(error)) throw error;
      if (signal.aborted) throw error;
      if (worst === null || tells(error) > tells(worst)) worst = error;
    }
  }
  throw worst ?? new CodedError('LINK_UNREACHABLE', 'the device has no address');
}

function checkDevice(
  socket: TLSSocket,
  address: string,
  { expected, alpn }: { expected: DeviceId; alpn: string },
): CodedError | null {
  try {
    const found = verifiedDeviceId(socket);
    if (found !== expected) {
      return new CodedError('LINK_WRONG_DEVICE', `${address} is device ${found}, not ${expected}`, {
        hint: 'check the address; if the device got a new identity, pair it again',
      });
    }
    if (socket.alpnProtocol !== alpn) {
      return new CodedError('LINK_TLS_FAILED', `${address} does not speak this protocol (ALPN)`);
    }
    return null;
  } catch (error) {
    return isCoded(error) ? error : new CodedError('LINK_TLS_FAILED', String(error), { cause: error });
  }
}

async function upgrade(
  socket: TLSSocket,
  peer: Peer,
  { limits, signal }: { limits: LinkLimits; signal: AbortSignal },
): Promise<WebSocketChannel> {
  return new Promise((resolve, reject) => {
    const webSocket = new WebSocket(`ws://${peer.deviceId.toLowerCase()}/`, [subprotocol], {
      createConnection: (() => socket) as NonNullable<ClientOptions['createConnection']>,
      perMessageDeflate: false,
      followRedirects: false,
      handshakeTimeout: limits.dialTimeoutMs,
      maxPayload: limits.messageBytesMax,
      maxFragments: limits.messageFragmentsMax,
    });
    const onAbort = () => socket.destroy();
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    const onError = (cause: Error) => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      const message = `device ${peer.deviceId} ended the connection before the link was up: ${cause.message}`;
      const hint = 'is this device paired there?';
      reject(new CodedError('LINK_CLOSED', message, { hint, cause }));
    };
    webSocket.once('error', onError);
    webSocket.once('open', () => {
      signal.removeEventListener('abort', onAbort);
      webSocket.off('error', onError);
      resolve(new WebSocketChannel({ webSocket, socket, peer }, limits));
    });
  });
}

function connectError(address: string, error: Error): CodedError {
  const code = systemErrorCode(error);
  const tlsFailure = code !== null && (code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS'));
  if (tlsFailure)
    return new CodedError('LINK_TLS_FAILED', `the TLS handshake with ${address} failed: ${code}`);
  const why = code ?? error.message;
  return new CodedError('LINK_UNREACHABLE', `${address} cannot be reached: ${why}`, { cause: error });
}

function tells(error: CodedError): number {
  const order = ['LINK_UNREACHABLE', 'LINK_TIMEOUT', 'LINK_CLOSED', 'LINK_TLS_FAILED', 'LINK_NO_CERTIFICATE'];
  const rank = order.indexOf(error.code);
  return rank < 0 ? order.length : rank;
}
