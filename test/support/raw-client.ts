// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';
import { createPrivateKey, generateKeyPairSync, webcrypto } from 'node:crypto';
import net from 'node:net';
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls';
import * as x509 from '@peculiar/x509';
import type { DeviceIdentity } from '../../shared/identity/device-identity.ts';
import { parseAddress } from '../../shared/link/address.ts';

/** What became of a connection that speaks as it likes. */
type RawConnection<S> = {
  socket: S;
  /** Resolves with everything that came back when the other side has ended the connection. */
  ended: Promise<Buffer>;
};

function watch<S extends net.Socket>(socket: S): RawConnection<S> {
  const received: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => received.push(bytes));
  socket.on('error', () => {});
  const ended = new Promise<Buffer>((resolve) => socket.on('close', () => resolve(Buffer.concat(received))));
  return { socket, ended };
}

/** A TCP connection; resolves when it is up. */
export async function connectTcp(address: string): Promise<RawConnection<net.Socket>> {
  const connection = watch(net.connect(parseAddress(address)));
  await new Promise<void>((resolve, reject) => {
    connection.socket.once('connect', resolve);
    connection.socket.once('error', reject);
  });
  return connection;
}

/** A TLS connection; `onSecure` is called when the client thinks that it is up (TLS 1.3: before the server judges). */
export function connectTls(
  address: string,
  options: ConnectionOptions,
  onSecure: (socket: TLSSocket) => void = () => {},
): RawConnection<TLSSocket> {
  const socket = tls.connect({ ...parseAddress(address), rejectUnauthorized: false, ...options });
  socket.once('secureConnect', () => onSecure(socket));
  return watch(socket);
}

export function credentials(identity: DeviceIdentity): ConnectionOptions {
  return { key: identity.keyPem, cert: identity.certificatePem };
}

/** Key and chain of a new key whose certificate a paired device's key has signed. */
export async function childCredentials(parent: DeviceIdentity): Promise<ConnectionOptions> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const parentKey = createPrivateKey(parent.keyPem).export({ type: 'pkcs8', format: 'der' });
  const child = await x509.X509CertificateGenerator.create({
    serialNumber: '01',
    subject: 'CN=mastokeep',
    issuer: 'CN=mastokeep',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    signingAlgorithm: algorithm,
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    // the types of browsers that OpenPGP.js brings along know fewer usages
    signingKey: (await webcrypto.subtle.importKey('pkcs8', parentKey, algorithm, true, [
      'sign',
    ])) as typeof globalThis.CryptoKey.prototype,
  });
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: `${child.toString('pem')}\n${parent.certificatePem}`,
  };
}

/** The request of a WebSocket client that does everything right. */
export const upgradeRequest = [
  'GET / HTTP/1.1',
  'Host: agent',
  'Upgrade: websocket',
  'Connection: Upgrade',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol: mastokeep.v1',
  '',
  '',
].join('\r\n');
