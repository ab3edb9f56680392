import { CodedError } from '../errors/coded-error.ts';
import { sealedLimits } from './sealed-limits.ts';

const tagPublicKeySession = 1;
const tagSymmetricSession = 3;
const tagIntegrityProtected = 18;

/** What a sealed message shows to anybody. `keyIds`: 16 upper case digits each; `passphrases`: how many SKESK packets. */
export type MessageFraming = { keyIds: string[]; passphrases: number };

/**
 * Checks without any key that `message` has our form: at least one PKESK v3 or SKESK v4, then one SEIPDv1 packet that
 * ends exactly at the end. Nothing else may be there, before, between or behind.
 * @throws CodedError PACK_CORRUPT
 * @see RFC 9580 §4.2, §10.3
 */
export function checkMessageFraming(message: Uint8Array): MessageFraming {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const framing: MessageFraming = { keyIds: [], passphrases: 0 };
  for (let offset = 0; ;) {
    const packet = readPacketHeader(bytes, offset);
    const body = bytes.subarray(packet.bodyAt, packet.end);
    if (packet.tag === tagPublicKeySession && body[0] === 3 && body.length > 9) {
      framing.keyIds.push(body.subarray(1, 9).toString('hex').toUpperCase());
    } else if (packet.tag === tagSymmetricSession && body[0] === 4) {
      framing.passphrases += 1;
    } else if (packet.tag === tagIntegrityProtected && body[0] === 1) {
      if (packet.end !== bytes.length) throw corrupt('something follows the encrypted data');
      break;
    } else {
      throw corrupt(`packet ${packet.tag} version ${body[0] ?? 'none'} does not belong there`);
    }
    if (framing.keyIds.length + framing.passphrases > sealedLimits.recipientsMax) {
      throw corrupt('too many session keys');
    }
    offset = packet.end;
  }
  if (framing.keyIds.length + framing.passphrases === 0) throw corrupt('no session key');
  return framing;
}

function readPacketHeader(bytes: Buffer, offset: number): { tag: number; bodyAt: number; end: number } {
  const first = bytes[offset];
  if (first === undefined || (first & 0x80) === 0) throw corrupt('it is cut off or not OpenPGP');
  const isNew = (first & 0x40) !== 0;
  const tag = isNew ? first & 0x3f : (first & 0x3c) >> 2;
  const { length, lengthBytes } = isNew
    ? readNewLength(bytes, offset + 1)
    : readOldLength(bytes, offset + 1, first & 3);
  const bodyAt = offset + 1 + lengthBytes;
  const end = bodyAt + length;
  if (end > bytes.length) throw corrupt('it is cut off');
  return { tag, bodyAt, end };
}

function readNewLength(bytes: Buffer, at: number): { length: number; lengthBytes: number } {
  const first = bytes[at];
  if (first === undefined) throw corrupt('it is cut off');
  if (first < 192) return { length: first, lengthBytes: 1 };
  if (first < 224) return { length: ((first - 192) << 8) + readUInt(bytes, at + 1, 1) + 192, lengthBytes: 2 };
  if (first === 255) return { length: readUInt(bytes, at + 1, 4), lengthBytes: 5 };
  throw corrupt('it has partial lengths');
}

function readOldLength(bytes: Buffer, at: number, type: number): { length: number; lengthBytes: number } {
  if (type === 3) throw corrupt('it has an indeterminate length');
  const lengthBytes = 2 ** type;
  return { length: readUInt(bytes, at, lengthBytes), lengthBytes };
}

function readUInt(bytes: Buffer, at: number, length: number): number {
  if (at + length > bytes.length) throw corrupt('it is cut off');
  return bytes.readUIntBE(at, length);
}

function corrupt(why: string): CodedError {
  return new CodedError('PACK_CORRUPT', `a sealed message does not have the expected form: ${why}`);
}
