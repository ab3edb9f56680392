import { createHash, type X509Certificate } from 'node:crypto';
import { CodedError } from '../errors/coded-error.ts';

declare const deviceIdBrand: unique symbol;

/**
 * The lasting name of a device: SHA-256 of its public key (SPKI DER), written as Syncthing writes device IDs: base32,
 * a check character after each 13, eight groups of seven with dashes. Equal strings are equal devices.
 * @see https://docs.syncthing.net/dev/device-ids.html
 */
export type DeviceId = string & { readonly [deviceIdBrand]: true };

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const blockLength = 13;
const blockCount = 4;
const plainLength = blockLength * blockCount;
const checkedLength = plainLength + blockCount;
const groupLength = 7;

/** The ID of the device with this public key (SPKI DER). */
export function deviceIdOfKey(spkiDer: Uint8Array): DeviceId {
  return deviceIdFromBytes(createHash('sha256').update(spkiDer).digest());
}

/**
 * The ID of the device whose key the certificate carries; issuer, dates and names mean nothing.
 * @throws whatever node:crypto throws for a key that it does not know
 */
export function deviceIdOfCertificate(certificate: X509Certificate): DeviceId {
  return deviceIdOfKey(certificate.publicKey.export({ type: 'spki', format: 'der' }));
}

/** The written form of 32 bytes of ID. @throws CodedError DEVICE_ID_INVALID */
export function deviceIdFromBytes(bytes: Uint8Array): DeviceId {
  if (bytes.length !== 32) throw invalid(`a device ID has 32 bytes, not ${bytes.length}`);
  return writtenForm(encodeBase32(bytes));
}

/** The 32 bytes of the ID, for wire and compact texts. */
export function encodeDeviceId(deviceId: DeviceId): Buffer {
  return decodeBase32(withoutChecks(compact(deviceId)));
}

/**
 * Reads an ID as people type it: any case, with or without dashes, spaces and check characters; 0, 1 and 8 are taken
 * for O, I and B.
 * @throws CodedError DEVICE_ID_INVALID
 */
export function parseDeviceId(text: string): DeviceId {
  const characters = compact(text);
  if (!/^[A-Z2-7]*$/.test(characters)) {
    throw invalid(`device ID "${shown(text)}" has a character that no ID has`);
  }
  if (characters.length !== plainLength && characters.length !== checkedLength) {
    throw invalid(
      `device ID "${shown(text)}" has ${characters.length} characters, not ${checkedLength} or ${plainLength}`,
    );
  }
  const plain = characters.length === checkedLength ? withoutChecks(characters) : characters;
  const deviceId = writtenForm(plain);
  if (characters.length === checkedLength && compact(deviceId) !== characters) {
    throw invalid(`device ID "${shown(text)}" has a wrong check character: a letter was mistyped`);
  }
  // 52 characters hold 260 bits: the last four are zero in every real ID
  if (encodeBase32(decodeBase32(plain)) !== plain) {
    throw invalid(`device ID "${shown(text)}" ends in a character that no ID ends in`);
  }
  return deviceId;
}

/**
 * The known device that a whole or shortened ID (its beginning) means.
 * @throws CodedError DEVICE_UNKNOWN (none begins so), DEVICE_ID_INVALID (more than one does, or not an ID's characters)
 */
export function resolveDeviceId(text: string, known: Iterable<DeviceId>): DeviceId {
  const characters = compactBeginning(text);
  if (characters.length >= plainLength) parseDeviceId(text);
  const devices = [...new Set(known)];
  const matches = devices.filter((deviceId) => beginsWith(deviceId, characters));
  const [first, second] = matches;
  if (first === undefined) {
    const names = devices.slice(0, 5).map(shortDeviceId).join(', ');
    throw new CodedError('DEVICE_UNKNOWN', `no device with the ID "${shown(text)}" is known here`, {
      hint: names === '' ? 'none is' : `known are ${names}${devices.length > 5 ? ', …' : ''}`,
    });
  }
  if (second !== undefined) {
    const candidates = matches.slice(0, 5).map(shortDeviceId).join(', ');
    throw new CodedError(
      'DEVICE_ID_INVALID',
      `device ID "${shown(text)}" means more than one: ${candidates}`,
      {
        hint: 'write more of it',
      },
    );
  }
  return first;
}

/**
 * The device that somebody means to pair with: the whole ID, or the beginning of one that is known already.
 * @throws CodedError DEVICE_ID_INVALID (mistyped, or a beginning that means no known device, or several)
 */
export function completeDeviceId(text: string, known: Iterable<DeviceId>): DeviceId {
  const typed = parseTypedDeviceId(text);
  if (typed.whole !== null) return typed.whole;
  const devices = [...known];
  if (devices.some((deviceId) => meansDevice(typed, deviceId))) return resolveDeviceId(text, devices);
  throw invalid(
    `"${shown(text)}" is only the beginning of a device ID, and none that begins so is known here`,
  );
}

/** A device ID as somebody typed it: `whole` is null where it is only the beginning of one. */
export type TypedDeviceId = { readonly text: string; readonly whole: DeviceId | null };

/** @throws CodedError DEVICE_ID_INVALID (no ID and no beginning of one) */
export function parseTypedDeviceId(text: string): TypedDeviceId {
  if (compact(text).length >= plainLength) return { text, whole: parseDeviceId(text) };
  compactBeginning(text);
  return { text, whole: null };
}

/** Whether what was typed is the device's ID or its beginning. */
export function meansDevice(typed: TypedDeviceId, deviceId: DeviceId): boolean {
  return typed.whole === null ? beginsWith(deviceId, compact(typed.text)) : typed.whole === deviceId;
}

/** Whether the text is a device ID, exactly as one is written. */
export function isDeviceId(text: string): text is DeviceId {
  try {
    return parseDeviceId(text) === text;
  } catch {
    return false;
  }
}

/** The first group, for tables and log lines. */
export function shortDeviceId(deviceId: DeviceId): string {
  return deviceId.slice(0, groupLength);
}

/**
 * Syncthing's check character over one block of 13. It is *not* the standard Luhn mod N (which starts its factors at
 * the other end); IDs in the world were written this way.
 * @see https://github.com/syncthing/syncthing/blob/main/lib/protocol/luhn.go
 */
export function checkCharacter(block: string): string {
  let factor = 1;
  let sum = 0;
  for (const character of block) {
    const addend = factor * alphabet.indexOf(character);
    factor = 3 - factor;
    sum += Math.floor(addend / 32) + (addend % 32);
  }
  return alphabet.charAt((32 - (sum % 32)) % 32);
}

function writtenForm(plain: string): DeviceId {
  let checked = '';
  for (let start = 0; start < plainLength; start += blockLength) {
    const block = plain.slice(start, start + blockLength);
    checked += block + checkCharacter(block);
  }
  const groups: string[] = [];
  for (let start = 0; start < checkedLength; start += groupLength) {
    groups.push(checked.slice(start, start + groupLength));
  }
  return groups.join('-') as DeviceId;
}

/** @throws CodedError DEVICE_ID_INVALID */
function compactBeginning(text: string): string {
  const characters = compact(text);
  if (characters !== '' && characters.length <= checkedLength && /^[A-Z2-7]*$/.test(characters))
    return characters;
  throw invalid(`"${shown(text)}" is not the beginning of a device ID`);
}

/** With and without check characters. */
function beginsWith(deviceId: DeviceId, characters: string): boolean {
  const checked = compact(deviceId);
  return checked.startsWith(characters) || withoutChecks(checked).startsWith(characters);
}

function withoutChecks(checked: string): string {
  return checked.replaceAll(new RegExp(`(.{${blockLength}}).`, 'g'), '$1');
}

function compact(text: string): string {
  return text
    .toUpperCase()
    .replaceAll(/[\s-]/g, '')
    .replaceAll('0', 'O')
    .replaceAll('1', 'I')
    .replaceAll('8', 'B');
}

function encodeBase32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet.charAt((value >> bits) & 31);
    }
    value &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + alphabet.charAt((value << (5 - bits)) & 31);
}

function decodeBase32(text: string): Buffer {
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const character of text) {
    value = (value << 5) | alphabet.indexOf(character);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((value >> bits) & 255);
      value &= (1 << bits) - 1;
    }
  }
  return Buffer.from(bytes);
}

function shown(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

function invalid(message: string): CodedError {
  return new CodedError('DEVICE_ID_INVALID', message, {
    hint: 'the id command on the other device prints its ID',
  });
}
