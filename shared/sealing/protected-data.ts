import { createDecipheriv, createHash, timingSafeEqual } from 'node:crypto';
import { CodedError } from '../errors/coded-error.ts';
import { readPacketHeader, tagLiteralData } from './packet-header.ts';

const blockBytes = 16;
/** A random block and its last two bytes once more. */
const prefixBytes = blockBytes + 2;
const hashBytes = 20;
/** Packet header and hash. */
const detectionCodeBytes = 2 + hashBytes;
const detectionCodeHeader = Buffer.of(0xd3, 0x14);
const binaryFormat = 0x62;
/** Of a literal packet without a name: format, length of the name, date. */
const literalHeadBytes = 6;

/**
 * The content of a Symmetrically Encrypted and Integrity Protected Data packet version 1 with AES-256: the one literal
 * packet in it. Nothing is looked at before the modification detection code is found right.
 * @param body the packet's body, its version included
 * @throws CodedError PACK_CORRUPT
 * @see RFC 9580 §5.13.1 and docs/sealed-format.md#messages
 */
export function openProtectedData(body: Uint8Array, sessionKey: Uint8Array): Buffer {
  const encrypted = body.subarray(1);
  if (body[0] !== 1 || encrypted.length < prefixBytes + detectionCodeBytes) throw corrupt('it is too short');
  const decipher = createDecipheriv('aes-256-cfb', sessionKey, Buffer.alloc(blockBytes));
  const plain = decipher.update(encrypted);
  const codeAt = plain.length - detectionCodeBytes;
  const hashAt = plain.length - hashBytes;
  const hash = createHash('sha1').update(plain.subarray(0, hashAt)).digest();
  const intact = timingSafeEqual(hash, plain.subarray(hashAt));
  if (!intact || !plain.subarray(codeAt, hashAt).equals(detectionCodeHeader)) {
    throw corrupt('it was modified, or the key is another one');
  }
  return readLiteral(plain.subarray(prefixBytes, codeAt));
}

function readLiteral(packets: Buffer): Buffer {
  let literal: ReturnType<typeof readPacketHeader>;
  try {
    literal = readPacketHeader(packets, 0);
  } catch (cause) {
    throw corrupt(cause instanceof Error ? cause.message : String(cause));
  }
  const { tag, bodyAt, end } = literal;
  const plainly = packets[bodyAt] === binaryFormat && packets[bodyAt + 1] === 0;
  if (tag !== tagLiteralData || end !== packets.length || end < bodyAt + literalHeadBytes || !plainly) {
    throw corrupt('it does not hold exactly one binary literal packet without a name');
  }
  return packets.subarray(bodyAt + literalHeadBytes, end);
}

function corrupt(why: string): CodedError {
  return new CodedError('PACK_CORRUPT', `a sealed message cannot be decrypted: ${why}`);
}
