import { createCipheriv, randomBytes } from 'node:crypto';
import { iteratedKey } from './iterated-key.ts';
import { tagSymmetricSession } from './packet-header.ts';

const version = 4;
const aes256 = 9;
const [iteratedAndSalted, sha256] = [3, 8];
const saltBytes = 8;
/** 16 MiB of hashing. */
const countByte = 224;
const countBytes = (16 + (countByte & 15)) << ((countByte >> 4) + 6);
const blockBytes = 16;
const keyBytes = 32;

/**
 * A Symmetric-Key Encrypted Session Key packet, version 4: whoever knows the passphrase gets the AES-256 session key. Made here and
 * not by OpenPGP.js, which builds all that is hashed in memory.
 * @see RFC 9580 §5.3.1, §3.7.1.3
 */
export function passphrasePacket(passphrase: string, sessionKey: Uint8Array): Buffer {
  const salt = randomBytes(saltBytes);
  const key = iteratedKey(passphrase, { hash: 'sha256', salt, count: countBytes }, keyBytes);
  const cipher = createCipheriv('aes-256-cfb', key, Buffer.alloc(blockBytes));
  const sealed = Buffer.concat([cipher.update(Buffer.of(aes256)), cipher.update(sessionKey), cipher.final()]);
  const specifier = [iteratedAndSalted, sha256, ...salt, countByte];
  const body = Buffer.concat([Buffer.of(version, aes256, ...specifier), sealed]);
  return Buffer.concat([Buffer.of(0xc0 | tagSymmetricSession, body.length), body]);
}
