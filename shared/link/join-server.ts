import type { TLSSocket } from 'node:tls';
import { CodedError, isCoded } from '../errors/coded-error.ts';
import type { DeviceId } from '../identity/device-id.ts';
import { decodeJoinRequest, encodeJoinAnswer, splitJoinFrame } from './join-frame.ts';
import type { LinkLimits } from './link-limits.ts';
import type { PeerBook } from './peer-book.ts';
import type { Peer } from './peer.ts';

type Deps = { book: PeerBook; socket: TLSSocket; deviceId: DeviceId };

/**
 * Reads one join frame from a device that nobody knows yet and, when it proves an invitation's secret, pairs it. The
 * pairing is durable before the answer goes out. Without a proven secret there is no answer: the socket is destroyed.
 * Calls `onOutcome` once; the caller bounds the time that all this may take.
 */
export function acceptJoin(deps: Deps, limits: LinkLimits, onOutcome: (outcome: Peer | Error) => void): void {
  const { socket } = deps;
  let received = Buffer.alloc(0);
  const onData = (bytes: Buffer) => {
    try {
      // one read may bring more than a frame, never more than TLS buffers: it is looked at and dropped
      received = Buffer.concat([received, bytes]);
      const body = splitJoinFrame(received, limits.joinFrameBytesMax);
      if (body === null) return;
      socket.off('data', onData);
      answer(deps, body, onOutcome);
    } catch (error) {
      socket.off('data', onData);
      onOutcome(asError(error));
      socket.destroy();
    }
  };
  socket.on('data', onData);
}

function answer(
  { book, socket, deviceId }: Deps,
  body: Buffer,
  onOutcome: (outcome: Peer | Error) => void,
): void {
  try {
    const peer = book.redeem(deviceId, decodeJoinRequest(body));
    onOutcome(peer);
    socket.end(encodeJoinAnswer({ paired: peer.grant }));
  } catch (error) {
    // the secret was right, so the other side may know what is wrong
    if (!isCoded(error, 'ROLE_REFUSED') && !isCoded(error, 'ADDRESS_INVALID')) throw error;
    onOutcome(error);
    socket.end(encodeJoinAnswer({ refused: error.code }));
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new CodedError('INTERNAL', String(error));
}
