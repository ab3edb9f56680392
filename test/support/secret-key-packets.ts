/** Tags of OpenPGP's secret key and secret subkey packets. */
const tagNames = new Map([
  [5, 'secret key packet'],
  [7, 'secret subkey packet'],
]);

/** Object identifiers of the curves that RFC 9580 and GnuPG know. */
const curves = [
  '2b06010401da470f01',
  '2b060104019755010501',
  '2b656f',
  '2b6571',
  '2a8648ce3d030107',
  '2b81040022',
  '2b81040023',
  '2b8104000a',
  '2b2403030208010107',
  '2b240303020801010b',
  '2b240303020801010d',
].map((hex) => Buffer.from(hex, 'hex'));

/** Bytes of the public part, and of the secret part as well, of keys of fixed size. */
const fixedSizes = new Map([
  [25, 32],
  [26, 56],
  [27, 32],
  [28, 57],
]);

/**
 * Finds secret keys in any bytes, at any place: each place that reads as the header of a secret key packet is one when
 * version, time, algorithm and the key's public numbers make sense. Random bytes do not pass.
 * @see https://www.rfc-editor.org/rfc/rfc9580#section-5.5
 */
export function findSecretKeyPackets(bytes: Buffer): { at: number; what: string }[] {
  const found: { at: number; what: string }[] = [];
  for (let at = 0; at + 12 < bytes.length; at += 1) {
    const first = bytes[at] as number;
    if (first < 0x94 || first > 0xc7) continue;
    const isNew = first >= 0xc0;
    const what = tagNames.get(isNew ? first & 0x3f : (first >> 2) & 0x0f);
    if (what === undefined) continue;
    const body = at + 1 + (isNew ? newLengthBytes(bytes[at + 1] as number) : oldLengthBytes(first & 3));
    if (isSecretKey(bytes, body)) found.push({ at, what });
  }
  return found;
}

function newLengthBytes(first: number): number {
  return first === 255 ? 5 : first >= 192 && first < 224 ? 2 : 1;
}

function oldLengthBytes(lengthType: number): number {
  return [1, 2, 4, 0][lengthType] as number;
}

function isSecretKey(bytes: Buffer, body: number): boolean {
  if (body + 8 > bytes.length) return false;
  const version = bytes[body] as number;
  if (version < 3 || version > 6) return false;
  const created = bytes.readUInt32BE(body + 1);
  if (created < Date.UTC(1995, 0) / 1000 || created > Date.UTC(2045, 0) / 1000) return false;
  const algorithmAt = body + 5 + (version === 3 ? 2 : 0);
  const algorithm = bytes[algorithmAt] as number;
  const material = algorithmAt + 1 + (version >= 5 ? 4 : 0);
  if (algorithm >= 1 && algorithm <= 3) return isRsa(bytes, material);
  if (algorithm === 16 || algorithm === 17 || algorithm === 20) return isDiscreteLog(bytes, material);
  if (algorithm === 18 || algorithm === 19 || algorithm === 22) return isCurve(bytes, material);
  const size = fixedSizes.get(algorithm);
  if (size === undefined || material + 2 * size > bytes.length) return false;
  return version >= 5 ? bytes.readUInt32BE(material - 4) === size : isFixedSize(bytes, material, size);
}

/** The place after the number at `at`; null when it is not one of `bitsMin` to `bitsMax` bits. */
function afterNumber(bytes: Buffer, at: number, bitsMin: number, bitsMax: number): number | null {
  if (at + 3 > bytes.length) return null;
  const bits = bytes.readUInt16BE(at);
  const end = at + 2 + ((bits + 7) >> 3);
  if (bits < bitsMin || bits > bitsMax || end > bytes.length) return null;
  const top = bytes[at + 2] as number;
  return 32 - Math.clz32(top) === ((bits - 1) & 7) + 1 ? end : null;
}

/** An odd modulus and a small odd exponent. */
function isRsa(bytes: Buffer, at: number): boolean {
  const modulusEnd = afterNumber(bytes, at, 1023, 16_384);
  if (modulusEnd === null || ((bytes[modulusEnd - 1] as number) & 1) === 0) return false;
  const exponentEnd = afterNumber(bytes, modulusEnd, 2, 64);
  return exponentEnd !== null && ((bytes[exponentEnd - 1] as number) & 1) === 1;
}

function isDiscreteLog(bytes: Buffer, at: number): boolean {
  const primeEnd = afterNumber(bytes, at, 1023, 8192);
  if (primeEnd === null || ((bytes[primeEnd - 1] as number) & 1) === 0) return false;
  const secondEnd = afterNumber(bytes, primeEnd, 2, 8192);
  return secondEnd !== null && afterNumber(bytes, secondEnd, 2, 8192) !== null;
}

function isCurve(bytes: Buffer, at: number): boolean {
  const length = bytes[at] as number;
  return curves.some(
    (curve) => curve.length === length && curve.equals(bytes.subarray(at + 1, at + 1 + length)),
  );
}

/** Nothing of the key itself can be checked: what protects it must make sense. */
function isFixedSize(bytes: Buffer, at: number, size: number): boolean {
  const usage = bytes[at + size];
  if (usage === 0) {
    const secret = bytes.subarray(at + size + 1, at + 2 * size + 1);
    const sum = secret.reduce((total, byte) => (total + byte) & 0xffff, 0);
    const sumAt = at + 2 * size + 1;
    return sumAt + 2 <= bytes.length && secret.length === size && bytes.readUInt16BE(sumAt) === sum;
  }
  if (usage !== 253 && usage !== 254) return false;
  const cipherAt = [1, 2].find((skip) => {
    const cipher = bytes[at + size + skip] as number;
    return cipher >= 7 && cipher <= 9;
  });
  if (cipherAt === undefined) return false;
  const rest = bytes.subarray(at + size + cipherAt + 1, at + size + cipherAt + 6);
  return rest.includes(3) || rest.includes(4);
}
