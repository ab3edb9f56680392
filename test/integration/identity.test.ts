import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { deviceIdOfCertificate } from '../../shared/identity/device-id.ts';
import {
  createDeviceIdentity,
  loadDeviceIdentity,
  renewCertificate,
} from '../../shared/identity/device-identity.ts';

let home = '';
beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'identity-'));
});
afterEach(() => {
  fs.rmSync(home, { recursive: true });
});

const file = (name: string) => path.join(home, 'identity', name);

it('makes a key that only its owner can read and loads the same device again', async () => {
  const created = await createDeviceIdentity(home);
  expect(fs.statSync(file('key.pem')).mode & 0o777).toBe(0o600);
  expect(fs.statSync(path.join(home, 'identity')).mode & 0o777).toBe(0o700);
  expect(loadDeviceIdentity(home)).toEqual(created);
  expect(deviceIdOfCertificate(new X509Certificate(created.certificatePem))).toBe(created.deviceId);
});

it('names every device alike and makes certificates that hold for decades and since an hour', async () => {
  const now = Date.parse('2026-11-21T08:00:00Z');
  const { certificatePem } = await createDeviceIdentity(home, now);
  const certificate = new X509Certificate(certificatePem);
  expect(certificate.subject).toBe('CN=mastokeep');
  expect(certificate.issuer).toBe('CN=mastokeep');
  expect(Date.parse(certificate.validFrom)).toBe(now - 3_600_000);
  expect(new Date(certificate.validTo).getUTCFullYear()).toBe(2076);
  expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  expect(certificate.verify(certificate.publicKey)).toBe(true);
});

it('keeps the device ID when the certificate is renewed, even one that is lost', async () => {
  const created = await createDeviceIdentity(home);
  const renewed = await renewCertificate(home);
  expect(renewed.deviceId).toBe(created.deviceId);
  expect(renewed.certificatePem).not.toBe(created.certificatePem);
  fs.rmSync(file('cert.pem'));
  expect((await renewCertificate(home)).deviceId).toBe(created.deviceId);
  expect(loadDeviceIdentity(home).deviceId).toBe(created.deviceId);
});

it('never replaces a key', async () => {
  const created = await createDeviceIdentity(home);
  await expect(createDeviceIdentity(home)).rejects.toMatchObject({ code: 'HOME_INVALID' });
  expect(loadDeviceIdentity(home)).toEqual(created);
});

it('may repeat a set-up that ended before the key was written', async () => {
  await createDeviceIdentity(home);
  fs.rmSync(file('key.pem'));
  expect(() => loadDeviceIdentity(home)).toThrowError(expect.objectContaining({ code: 'HOME_INVALID' }));
  const again = await createDeviceIdentity(home);
  expect(loadDeviceIdentity(home)).toEqual(again);
});

it('says what is damaged', async () => {
  await expect(createDeviceIdentity(path.join(home, 'missing'))).rejects.toMatchObject({
    code: 'HOME_INVALID',
  });
  await createDeviceIdentity(home);
  const other = fs.mkdtempSync(path.join(os.tmpdir(), 'identity-'));
  const stranger = await createDeviceIdentity(other);
  fs.rmSync(other, { recursive: true });
  const damagedCode: unknown = expect.objectContaining({ code: 'IDENTITY_DAMAGED' });
  fs.writeFileSync(file('cert.pem'), stranger.certificatePem);
  expect(() => loadDeviceIdentity(home)).toThrowError(damagedCode);
  fs.writeFileSync(file('cert.pem'), 'garbage');
  expect(() => loadDeviceIdentity(home)).toThrowError(damagedCode);
  fs.writeFileSync(file('key.pem'), 'garbage');
  expect(() => loadDeviceIdentity(home)).toThrowError(damagedCode);
  await expect(renewCertificate(home)).rejects.toMatchObject({ code: 'IDENTITY_DAMAGED' });
});
