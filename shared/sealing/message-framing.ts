import { CodedError } from '../errors/coded-error.ts';
import {
  readPacketHeader,
  tagIntegrityProtected,
  tagPublicKeySession,
  tagSymmetricSession,
} from './packet-header.ts';
import { sealedLimits } from './sealed-limits.ts';

/**
 * What a sealed message shows to anybody. `keyIds`: 16 upper case digits each; `passphrases`: how many SKESK packets.
 * The session keys end, and the encrypted data's packet begins, at `dataAt`, its body at `dataBodyAt`.
 */
export type MessageFraming = { keyIds: string[]; passphrases: number; dataAt: number; dataBodyAt: number };

/**
 * Checks without any key that `message` has our form: at least one PKESK v3 or SKESK v4, then one SEIPDv1 packet that
 * ends exactly at the end. Nothing else may be there, before, between or behind.
 * @throws CodedError PACK_CORRUPT
 * @see RFC 9580 §4.2, §10.3
 */
export function checkMessageFraming(message: Uint8Array): MessageFraming {
  try {
    return readFraming(message);
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    throw new CodedError(
      'PACK_CORRUPT',
      `a sealed message does not have the expected form: ${cause.message}`,
      { cause },
    );
  }
}

function readFraming(message: Uint8Array): MessageFraming {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const framing: MessageFraming = { keyIds: [], passphrases: 0, dataAt: 0, dataBodyAt: 0 };
  for (let offset = 0; ;) {
    const packet = readPacketHeader(bytes, offset);
    const body = bytes.subarray(packet.bodyAt, packet.end);
    if (packet.tag === tagPublicKeySession && body[0] === 3 && body.length > 9) {
      framing.keyIds.push(body.subarray(1, 9).toString('hex').toUpperCase());
    } else if (packet.tag === tagSymmetricSession && body[0] === 4) {
      framing.passphrases += 1;
    } else if (packet.tag === tagIntegrityProtected && body[0] === 1) {
      if (packet.end !== bytes.length) throw new Error('something follows the encrypted data');
      framing.dataAt = offset;
      framing.dataBodyAt = packet.bodyAt;
      break;
    } else {
      throw new Error(`packet ${packet.tag} version ${body[0] ?? 'none'} does not belong there`);
    }
    if (framing.keyIds.length + framing.passphrases > sealedLimits.recipientsMax) {
      throw new Error('too many session keys');
    }
    offset = packet.end;
  }
  if (framing.keyIds.length + framing.passphrases === 0) throw new Error('no session key');
  return framing;
}
