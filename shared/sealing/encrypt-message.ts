import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { tagIntegrityProtected, tagLiteralData, tagModificationDetection } from './packet-header.ts';
import { releaseMemory } from './released-memory.ts';

const blockBytes = 16;
const headerBytes = 6;
const literalHeadBytes = 6;
const digestBytes = 20;
/** What is encrypted at once: each piece takes as much memory again until it is copied. */
const pieceBytes = 128 * 1024;

/** Gives the room of so many bytes into which a message is written; it may be used again once that is done with. */
export type MessageRoom = (bytes: number) => Buffer;

/**
 * A message of the given session key packets and, behind them, one SEIPDv1 packet (AES-256 in CFB mode with its
 * modification detection code) around one literal packet: binary, without name, date 0. Lengths are definite, in five
 * octets. Made here and not by OpenPGP.js, which holds a pack about ten times over while it encrypts it, at half the
 * speed.
 * @param sessionKey 32 bytes, used for this message only
 * @param content pieces that follow each other
 * @see RFC 9580 §4.2.1, §5.9, §5.13.1; docs/sealed-format.md#messages
 */
export function encryptMessage(
  sessionKeyPackets: Uint8Array,
  sessionKey: Uint8Array,
  content: readonly Uint8Array[],
  room: MessageRoom = (bytes) => Buffer.allocUnsafeSlow(bytes),
): Buffer {
  const contentBytes = content.reduce((sum, { length }) => sum + length, 0);
  const random = randomBytes(blockBytes);
  const literal = Buffer.concat([
    packetHeader(tagLiteralData, literalHeadBytes + contentBytes),
    // binary, a name of 0 bytes, date 0
    Buffer.from([0x62, 0, 0, 0, 0, 0]),
  ]);
  const detection = Buffer.from([0xc0 | tagModificationDetection, digestBytes]);
  const clear = [random, random.subarray(-2), literal, ...content, detection];
  const digest = createHash('sha1');
  for (const part of clear) digest.update(part);

  const encryptedBytes = clear.reduce((sum, part) => sum + part.length, digestBytes);
  const message = room(sessionKeyPackets.length + headerBytes + 1 + encryptedBytes);
  let at = 0;
  const put = (bytes: Uint8Array): void => {
    message.set(bytes, at);
    at += bytes.length;
  };
  put(sessionKeyPackets);
  put(packetHeader(tagIntegrityProtected, 1 + encryptedBytes));
  put(Buffer.from([1]));
  const cipher = createCipheriv('aes-256-cfb', sessionKey, Buffer.alloc(blockBytes));
  for (const part of [...clear, digest.digest()]) {
    for (let from = 0; from < part.length; from += pieceBytes) {
      const encrypted = cipher.update(part.subarray(from, from + pieceBytes));
      put(encrypted);
      releaseMemory(encrypted);
    }
  }
  put(cipher.final());
  return message;
}

function packetHeader(tag: number, length: number): Buffer {
  const header = Buffer.alloc(headerBytes);
  header[0] = 0xc0 | tag;
  header[1] = 0xff;
  header.writeUInt32BE(length, 2);
  return header;
}
