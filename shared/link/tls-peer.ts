import { constants, type X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { CodedError } from '../errors/coded-error.ts';
import { deviceIdOfCertificate, type DeviceId } from '../identity/device-id.ts';
import type { DeviceIdentity } from '../identity/device-identity.ts';

/** The two things that may be said after the handshake, told apart before a byte of either is read. */
export const linkAlpn = 'mastokeep-link';
export const joinAlpn = 'mastokeep-join';

/** The WebSocket subprotocol. */
export const subprotocol = 'mastokeep.v1';

/**
 * TLS for both ends: 1.3 only, no tickets (a resumed session shows a client no certificate), certificates on both
 * sides. Node's own verdict (`authorized`) is never asked: `verifiedDeviceId` is the only judge.
 */
export function tlsOptions(identity: DeviceIdentity) {
  return {
    key: identity.keyPem,
    cert: identity.certificatePem,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
    rejectUnauthorized: false,
  } as const;
}

/**
 * The ID of the device that proved its key in this handshake: of the leaf alone, whoever signed it and whatever its
 * dates. Call it when the handshake has ended and before anything is sent or read.
 * @throws CodedError LINK_NO_CERTIFICATE (none, or one whose key cannot be read), LINK_TLS_FAILED (resumed session, older TLS)
 */
export function verifiedDeviceId(socket: TLSSocket): DeviceId {
  if (socket.isSessionReused()) {
    throw new CodedError('LINK_TLS_FAILED', 'the TLS session was resumed, which proves no key');
  }
  if (socket.getProtocol() !== 'TLSv1.3') {
    throw new CodedError(
      'LINK_TLS_FAILED',
      `the connection uses ${String(socket.getProtocol())}, not TLSv1.3`,
    );
  }
  const certificate = peerCertificate(socket);
  if (certificate === undefined) {
    throw new CodedError('LINK_NO_CERTIFICATE', 'the other side showed no certificate');
  }
  try {
    return deviceIdOfCertificate(certificate);
  } catch (cause) {
    throw new CodedError('LINK_NO_CERTIFICATE', 'the certificate of the other side cannot be read', {
      cause,
    });
  }
}

/** The public key (SPKI DER) of a device that was verified; empty when its socket is gone already. */
export function publicKeyOf(socket: TLSSocket): Buffer {
  const key = peerCertificate(socket)?.publicKey;
  return key === undefined ? Buffer.alloc(0) : key.export({ type: 'spki', format: 'der' });
}

const certificates = new WeakMap<TLSSocket, X509Certificate>();

/** On the side that dialled, Node gives the other side's certificate once only: the next call finds none. */
function peerCertificate(socket: TLSSocket): X509Certificate | undefined {
  const certificate = certificates.get(socket) ?? socket.getPeerX509Certificate();
  if (certificate !== undefined) certificates.set(socket, certificate);
  return certificate;
}
