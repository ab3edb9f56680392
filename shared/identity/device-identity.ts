import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { CodedError, systemErrorCode } from '../errors/coded-error.ts';
import { writeFileAtomic } from '../io/atomic-file.ts';
import { deviceIdOfKey, type DeviceId } from './device-id.ts';

/** What a device needs to prove who it is. `keyPem` is secret. */
export type DeviceIdentity = {
  readonly deviceId: DeviceId;
  readonly keyPem: string;
  readonly certificatePem: string;
};

/**
 * Makes a new device in `<home>/identity/` (key.pem 0600, cert.pem); both files are durable when it resolves. The key
 * is written last: where it is missing, there is no identity yet, and a set-up that was interrupted may be repeated.
 * @throws CodedError HOME_INVALID (the home is missing or has an identity already)
 */
export async function createDeviceIdentity(
  home: string,
  nowMs: number = Date.now(),
): Promise<DeviceIdentity> {
  const { directory, keyFile, certificateFile } = identityFiles(home);
  if (!fs.statSync(home, { throwIfNoEntry: false })?.isDirectory()) {
    throw new CodedError('HOME_INVALID', `home ${home} is not a directory`, { hint: 'run init first' });
  }
  if (fs.existsSync(keyFile)) {
    throw new CodedError('HOME_INVALID', `home ${home} has an identity already`, {
      hint: 'a new identity would be another device to everybody paired with this one',
    });
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const identity = await identityOf(privateKey, nowMs);
  makeIdentityDirectory(home, directory);
  writeFileAtomic(certificateFile, identity.certificatePem, 0o644);
  writeFileAtomic(keyFile, identity.keyPem, 0o600);
  return identity;
}

/** @throws CodedError HOME_INVALID (no identity in the home), IDENTITY_DAMAGED */
export function loadDeviceIdentity(home: string): DeviceIdentity {
  const { certificateFile } = identityFiles(home);
  const { privateKey, keyPem } = loadKey(home);
  const publicKey = createPublicKey(privateKey);
  try {
    const certificatePem = fs.readFileSync(certificateFile, 'utf8');
    const certificate = new X509Certificate(certificatePem);
    if (!certificate.publicKey.equals(publicKey)) throw new Error('it belongs to another key');
    return { deviceId: deviceIdOfKey(exportSpki(publicKey)), keyPem, certificatePem };
  } catch (cause) {
    const hint = 'the key is good: "id --renew-certificate" makes a new certificate and keeps the device ID';
    throw damaged(certificateFile, cause, hint);
  }
}

/**
 * Replaces cert.pem by a new certificate for the same key, so the device ID and every pairing stay. It need not be
 * readable before.
 * @throws CodedError HOME_INVALID, IDENTITY_DAMAGED (the key)
 */
export async function renewCertificate(home: string, nowMs: number = Date.now()): Promise<DeviceIdentity> {
  const { privateKey } = loadKey(home);
  const identity = await identityOf(privateKey, nowMs);
  writeFileAtomic(identityFiles(home).certificateFile, identity.certificatePem, 0o644);
  return identity;
}

async function identityOf(privateKey: KeyObject, nowMs: number): Promise<DeviceIdentity> {
  const publicKey = createPublicKey(privateKey);
  // loaded only where a certificate is made: the library is large and every command would wait for it
  const { createCertificate } = await import('./certificate.ts');
  return {
    deviceId: deviceIdOfKey(exportSpki(publicKey)),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificatePem: await createCertificate(privateKey, publicKey, nowMs),
  };
}

function loadKey(home: string): { privateKey: KeyObject; keyPem: string } {
  const { keyFile } = identityFiles(home);
  let keyPem: string;
  try {
    keyPem = fs.readFileSync(keyFile, 'utf8');
  } catch (cause) {
    if (systemErrorCode(cause) !== 'ENOENT') throw damaged(keyFile, cause, 'check who owns the file');
    throw new CodedError('HOME_INVALID', `home ${home} has no identity`, { hint: 'run init first', cause });
  }
  try {
    const privateKey = createPrivateKey(keyPem);
    const curve = privateKey.asymmetricKeyDetails?.namedCurve;
    if (curve !== 'prime256v1') throw new Error('it is not an ECDSA P-256 key');
    return { privateKey, keyPem };
  } catch (cause) {
    throw damaged(
      keyFile,
      cause,
      'put it back from a backup; a new key is a new device that must be paired again',
    );
  }
}

function makeIdentityDirectory(home: string, directory: string): void {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (process.getuid?.() !== 0) return;
  const owner = fs.statSync(home);
  fs.chownSync(directory, owner.uid, owner.gid);
}

function identityFiles(home: string) {
  const directory = path.join(home, 'identity');
  return {
    directory,
    keyFile: path.join(directory, 'key.pem'),
    certificateFile: path.join(directory, 'cert.pem'),
  };
}

function exportSpki(publicKey: KeyObject): Buffer {
  return publicKey.export({ type: 'spki', format: 'der' });
}

function damaged(file: string, cause: unknown, hint: string): CodedError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CodedError('IDENTITY_DAMAGED', `${file} cannot be used: ${why}`, { hint, cause });
}
