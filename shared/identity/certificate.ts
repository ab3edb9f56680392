// x509 resolves its parts through decorators' metadata, so the polyfill must be there first
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';
import { randomBytes, webcrypto, type KeyObject } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** The same for every device, so that a certificate tells a stranger nothing. */
const subject = 'CN=mastokeep';
const validYears = 50;
const backdatedMs = 3_600_000;
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

type CreateSelfSigned = Parameters<typeof x509.X509CertificateGenerator.createSelfSigned>[0];

/** A self-signed certificate (PEM) for an ECDSA P-256 private key, valid for decades and from an hour ago. */
export async function createCertificate(
  privateKey: KeyObject,
  publicKey: KeyObject,
  nowMs: number,
): Promise<string> {
  const imported = {
    privateKey: await importKey('pkcs8', privateKey.export({ type: 'pkcs8', format: 'der' }), ['sign']),
    publicKey: await importKey('spki', publicKey.export({ type: 'spki', format: 'der' }), ['verify']),
  };
  const notAfter = new Date(nowMs);
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + validYears);
  // a positive serial number: the first bit is zero (RFC 5280 §4.1.2.2)
  const serial = randomBytes(16);
  serial[0] = (serial.readUInt8(0) & 0x7f) | 0x40;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial.toString('hex'),
    name: subject,
    notBefore: new Date(nowMs - backdatedMs),
    notAfter,
    signingAlgorithm: algorithm,
    // node:crypto's key type knows more usages than the one of the DOM that the library speaks of
    keys: imported as CreateSelfSigned['keys'],
    extensions: [new x509.BasicConstraintsExtension(false, undefined, true)],
  });
  return `${certificate.toString('pem')}\n`;
}

async function importKey(format: 'pkcs8' | 'spki', der: Buffer, usages: ('sign' | 'verify')[]) {
  return webcrypto.subtle.importKey(format, der, algorithm, true, usages);
}
