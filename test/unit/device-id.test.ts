import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkCharacter,
  completeDeviceId,
  deviceIdFromBytes,
  encodeDeviceId,
  meansDevice,
  parseDeviceId,
  parseTypedDeviceId,
  resolveDeviceId,
  shortDeviceId,
} from '../../shared/identity/device-id.ts';

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });

/** The example of Syncthing's documentation of device IDs. */
const documented = 'MFZWI3D-BONSGYC-YLTMRWG-C43ENR5-QXGZDMM-FZWI3DP-BONSGYY-LTMRWAD';

describe('a device ID', () => {
  it('has the check characters that Syncthing gives, not those of the standard Luhn', () => {
    expect(checkCharacter('P56IOI7MZJNU2')).toBe('Y');
    expect(parseDeviceId(documented)).toBe(documented);
  });

  it('comes back as the same 32 bytes', () => {
    fc.assert(
      fc.property(bytes32, (bytes) => {
        const written = deviceIdFromBytes(bytes);
        expect(written).toMatch(/^([A-Z2-7]{7}-){7}[A-Z2-7]{7}$/);
        expect(encodeDeviceId(written).equals(bytes)).toBe(true);
        expect(parseDeviceId(written)).toBe(written);
      }),
    );
  });

  it('is read however people type it', () => {
    fc.assert(
      fc.property(bytes32, fc.boolean(), fc.boolean(), fc.boolean(), (bytes, lower, mistaken, unchecked) => {
        const written = deviceIdFromBytes(bytes);
        let typed: string = unchecked
          ? written.replaceAll('-', '').replaceAll(/(.{13})./g, '$1')
          : written.replaceAll('-', ' ');
        if (mistaken) typed = typed.replaceAll('O', '0').replaceAll('I', '1').replaceAll('B', '8');
        if (lower) typed = ` ${typed.toLowerCase()}\n`;
        expect(parseDeviceId(typed)).toBe(written);
      }),
    );
  });

  it('is refused when one character of it is another', () => {
    fc.assert(
      fc.property(bytes32, fc.nat(55), fc.integer({ min: 1, max: 31 }), (bytes, position, shift) => {
        const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
        const letters = deviceIdFromBytes(bytes).replaceAll('-', '').split('');
        const old = alphabet.indexOf(letters[position] ?? '');
        letters[position] = alphabet.charAt((old + shift) % 32);
        expect(() => parseDeviceId(letters.join(''))).toThrowError(
          expect.objectContaining({ code: 'DEVICE_ID_INVALID' }),
        );
      }),
    );
  });

  it.each([
    '',
    'ABC',
    documented.slice(1),
    `${documented}A`,
    documented.replace('M', 'Ä'),
    documented.replace('M', '9'),
  ])('is not %j', (text) => {
    expect(() => parseDeviceId(text)).toThrowError(expect.objectContaining({ code: 'DEVICE_ID_INVALID' }));
  });

  it('of 31 bytes does not exist', () => {
    expect(() => deviceIdFromBytes(Buffer.alloc(31))).toThrowError(
      expect.objectContaining({ code: 'DEVICE_ID_INVALID' }),
    );
  });
});

describe('a shortened device ID', () => {
  const known = [1, 2, 3, 4, 5].map((seed) =>
    deviceIdFromBytes(createHash('sha256').update(String(seed)).digest()),
  );
  const [first] = known;
  if (first === undefined) throw new Error('no device');

  it('means the one known device that begins so, with and without check characters', () => {
    expect(resolveDeviceId(first, known)).toBe(first);
    expect(resolveDeviceId(shortDeviceId(first).toLowerCase(), known)).toBe(first);
    expect(resolveDeviceId(first.slice(0, 25), known)).toBe(first);
    const unchecked = first.replaceAll('-', '').replaceAll(/(.{13})./g, '$1');
    expect(resolveDeviceId(unchecked.slice(0, 20), known)).toBe(first);
    expect(resolveDeviceId(first.slice(0, 7), [first, first])).toBe(first);
  });

  it('means a device to pair with where one that begins so is known, and needs none known where it is whole', () => {
    expect(completeDeviceId(first, [])).toBe(first);
    expect(completeDeviceId(shortDeviceId(first).toLowerCase(), known)).toBe(first);
    expect(() => completeDeviceId(shortDeviceId(first), [])).toThrowError(/only the beginning/);
    const twin = deviceIdFromBytes(Buffer.concat([encodeDeviceId(first).subarray(0, 20), Buffer.alloc(12)]));
    expect(() => completeDeviceId(shortDeviceId(first), [first, twin])).toThrowError(/more than one/);
    expect(() => completeDeviceId('hello!', known)).toThrowError(/not the beginning/);
  });

  it('is compared with a device by as much of it as was typed', () => {
    const [, second] = known;
    if (second === undefined) throw new Error('no device');
    const whole = parseTypedDeviceId(first.toLowerCase());
    expect(whole.whole).toBe(first);
    expect([meansDevice(whole, first), meansDevice(whole, second)]).toEqual([true, false]);
    const short = parseTypedDeviceId(first.slice(0, 20).toLowerCase());
    expect(short.whole).toBeNull();
    expect([meansDevice(short, first), meansDevice(short, second)]).toEqual([true, false]);
    expect(() => parseTypedDeviceId('')).toThrowError(/not the beginning/);
    expect(() => parseTypedDeviceId(`${first.slice(0, -1)}A`)).toThrowError(/check character/);
  });

  it('is refused where it means more than one, or none', () => {
    const twin = deviceIdFromBytes(Buffer.concat([encodeDeviceId(first).subarray(0, 20), Buffer.alloc(12)]));
    expect(() => resolveDeviceId(first.slice(0, 10), [...known, twin])).toThrowError(/more than one/);
    expect(resolveDeviceId(first, [...known, twin])).toBe(first);
    expect(() => resolveDeviceId(documented, known)).toThrowError(
      expect.objectContaining({ code: 'DEVICE_UNKNOWN' }),
    );
    expect(() => resolveDeviceId('', known)).toThrowError(
      expect.objectContaining({ code: 'DEVICE_ID_INVALID' }),
    );
  });
});
