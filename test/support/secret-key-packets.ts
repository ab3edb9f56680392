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

/** More than any secret part takes: for numbers of up to 16,384 bits, and for curves, with what protects it. */
const secretBytesMax = { numbers: 8192, curve: 512 };

/** Where the public part of a key ends, and how long its secret part can be at most. */
type PublicPart = { end: number; secretBytesMax: number };

/**
 * Finds secret keys in any bytes, at any place: each place that reads as the header of a secret key packet is one when
 * version, time, algorithm and the key's public numbers make sense, and its length leaves room for a secret part.
 * Random bytes do not pass, nor does a public key behind a byte that makes another header of its own.
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
    const { body, length } = isNew ? newHeader(bytes, at) : oldHeader(bytes, at);
    if (isSecretKey(bytes, body, length)) found.push({ at, what });
  }
  return found;
}

/** `length`: of the body, which begins at `body`; null where the header does not say it. */
type Header = { body: number; length: number | null };

/** @see https://www.rfc-editor.org/rfc/rfc9580#section-4.2.1 */
function newHeader(bytes: Buffer, at: number): Header {
  const first = bytes[at + 1] as number;
  if (first === 255) return { body: at + 6, length: bytes.readUInt32BE(at + 2) };
  if (first >= 224) return { body: at + 2, length: null };
  if (first < 192) return { body: at + 2, length: first };
  return { body: at + 3, length: ((first - 192) << 8) + (bytes[at + 2] as number) + 192 };
}

/** @see https://www.rfc-editor.org/rfc/rfc9580#section-4.2.2 */
function oldHeader(bytes: Buffer, at: number): Header {
  const lengthBytes = [1, 2, 4, 0][(bytes[at] as number) & 3] as number;
  const body = at + 1 + lengthBytes;
  return { body, length: lengthBytes === 0 ? null : bytes.readUIntBE(at + 1, lengthBytes) };
}

function isSecretKey(bytes: Buffer, body: number, length: number | null): boolean {
  const part = publicPart(bytes, body);
  if (part === null || length === null) return part !== null;
  const secretBytes = body + length - part.end;
  return secretBytes > 0 && secretBytes <= part.secretBytesMax;
}

/** Null where it is none. */
function publicPart(bytes: Buffer, body: number): PublicPart | null {
  if (body + 8 > bytes.length) return null;
  const version = bytes[body] as number;
  if (version < 3 || version > 6) return null;
  const created = bytes.readUInt32BE(body + 1);
  if (created < Date.UTC(1995, 0) / 1000 || created > Date.UTC(2045, 0) / 1000) return null;
  const algorithmAt = body + 5 + (version === 3 ? 2 : 0);
  const algorithm = bytes[algorithmAt] as number;
  const material = algorithmAt + 1 + (version >= 5 ? 4 : 0);
  if (algorithm >= 1 && algorithm <= 3) return endOf(rsaEnd(bytes, material), secretBytesMax.numbers);
  if (algorithm === 16 || algorithm === 17 || algorithm === 20)
    return endOf(discreteLogEnd(bytes, material), secretBytesMax.numbers);
  if (algorithm === 18 || algorithm === 19 || algorithm === 22)
    return endOf(curveEnd(bytes, material), secretBytesMax.curve);
  const size = fixedSizes.get(algorithm);
  if (size === undefined || material + 2 * size > bytes.length) return null;
  const isOne = version >= 5 ? bytes.readUInt32BE(material - 4) === size : isFixedSize(bytes, material, size);
  return isOne ? { end: material + size, secretBytesMax: secretBytesMax.curve } : null;
}

function endOf(end: number | null, secretMax: number): PublicPart | null {
  return end === null ? null : { end, secretBytesMax: secretMax };
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
function rsaEnd(bytes: Buffer, at: number): number | null {
  const modulusEnd = afterNumber(bytes, at, 1023, 16_384);
  if (modulusEnd === null || ((bytes[modulusEnd - 1] as number) & 1) === 0) return null;
  const exponentEnd = afterNumber(bytes, modulusEnd, 2, 64);
  return exponentEnd !== null && ((bytes[exponentEnd - 1] as number) & 1) === 1 ? exponentEnd : null;
}

function discreteLogEnd(bytes: Buffer, at: number): number | null {
  const primeEnd = afterNumber(bytes, at, 1023, 8192);
  if (primeEnd === null || ((bytes[primeEnd - 1] as number) & 1) === 0) return null;
  const secondEnd = afterNumber(bytes, primeEnd, 2, 8192);
  return secondEnd === null ? null : afterNumber(bytes, secondEnd, 2, 8192);
}

/** The curve, and a point on it. */
function curveEnd(bytes: Buffer, at: number): number | null {
  const length = bytes[at] as number;
  const pointAt = at + 1 + length;
  const isKnown = curves.some(
    (curve) => curve.length === length && curve.equals(bytes.subarray(at + 1, pointAt)),
  );
  return isKnown ? afterNumber(bytes, pointAt, 200, 1100) : null;
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
