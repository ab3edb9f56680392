export const tagPublicKeySession = 1;
export const tagSymmetricSession = 3;
export const tagSecretKey = 5;
export const tagPublicKey = 6;
export const tagLiteralData = 11;
export const tagIntegrityProtected = 18;
export const tagModificationDetection = 19;

/**
 * The OpenPGP packet that begins at `offset`: its body is `bytes[bodyAt, end)`. Both length formats are read, lengths
 * that are partial or indeterminate are not.
 * @throws Error in a few words; the caller knows what the bytes should have been
 * @see RFC 9580 §4.2
 */
export function readPacketHeader(
  bytes: Buffer,
  offset: number,
): { tag: number; bodyAt: number; end: number } {
  const first = bytes[offset];
  if (first === undefined || (first & 0x80) === 0) throw new Error('it is cut off or not OpenPGP');
  const isNew = (first & 0x40) !== 0;
  const tag = isNew ? first & 0x3f : (first & 0x3c) >> 2;
  const { length, lengthBytes } = isNew
    ? readNewLength(bytes, offset + 1)
    : readOldLength(bytes, offset + 1, first & 3);
  const bodyAt = offset + 1 + lengthBytes;
  const end = bodyAt + length;
  if (end > bytes.length) throw new Error('it is cut off');
  return { tag, bodyAt, end };
}

function readNewLength(bytes: Buffer, at: number): { length: number; lengthBytes: number } {
  const first = bytes[at];
  if (first === undefined) throw new Error('it is cut off');
  if (first < 192) return { length: first, lengthBytes: 1 };
  if (first < 224) return { length: ((first - 192) << 8) + readUInt(bytes, at + 1, 1) + 192, lengthBytes: 2 };
  if (first === 255) return { length: readUInt(bytes, at + 1, 4), lengthBytes: 5 };
  throw new Error('it has partial lengths');
}

function readOldLength(bytes: Buffer, at: number, type: number): { length: number; lengthBytes: number } {
  if (type === 3) throw new Error('it has an indeterminate length');
  const lengthBytes = 2 ** type;
  return { length: readUInt(bytes, at, lengthBytes), lengthBytes };
}

function readUInt(bytes: Buffer, at: number, length: number): number {
  if (at + length > bytes.length) throw new Error('it is cut off');
  return bytes.readUIntBE(at, length);
}
