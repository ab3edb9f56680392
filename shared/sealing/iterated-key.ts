import { createHash } from 'node:crypto';
import type { PrivateKey } from 'openpgp';

/** Hash algorithms by their number in OpenPGP. @see RFC 9580 §9.5 */
const hashNames = new Map([
  [2, 'sha1'],
  [8, 'sha256'],
  [9, 'sha384'],
  [10, 'sha512'],
  [11, 'sha224'],
]);

/** What openpgp.js has of a String-to-Key specifier; it does not declare it. */
type StringToKey = {
  type: string;
  algorithm: number;
  salt: Uint8Array;
  getCount(): number;
  produceKey(passphrase: string, keyBytes: number): Promise<Uint8Array>;
};

const pieceBytes = 64 * 1024;

/**
 * Iterated and salted String-to-Key: the key that protects a private key, from its passphrase. `count`: bytes hashed.
 * @see RFC 9580 §3.7.1.3
 */
export function iteratedKey(
  passphrase: string,
  { hash, salt, count }: { hash: string; salt: Uint8Array; count: number },
  keyBytes: number,
): Buffer {
  const once = Buffer.concat([salt, Buffer.from(passphrase, 'utf8')]);
  const times = Math.ceil(pieceBytes / once.length);
  const piece = Buffer.concat(Array.from({ length: times }, () => once));
  const key: Buffer[] = [];
  for (let produced = 0; produced < keyBytes; produced += key.at(-1)?.length ?? 0) {
    const hasher = createHash(hash).update(Buffer.alloc(key.length));
    for (let left = Math.max(count, once.length); left > 0; left -= piece.length) {
      hasher.update(piece.subarray(0, left));
    }
    key.push(hasher.digest());
  }
  return Buffer.concat(key).subarray(0, keyBytes);
}

/**
 * Lets the key be unlocked by `iteratedKey`: openpgp.js builds all that is hashed in memory first, twice 65 MB for keys that
 * GnuPG exports.
 */
export function hashInPieces(key: PrivateKey): void {
  for (const { keyPacket } of key.getKeys()) {
    const { s2k } = keyPacket as { s2k?: StringToKey | null };
    const hash = hashNames.get(s2k?.algorithm ?? 0);
    if (s2k?.type !== 'iterated' || hash === undefined) continue;
    const { salt } = s2k;
    s2k.produceKey = async (passphrase, keyBytes) =>
      iteratedKey(passphrase, { hash, salt, count: s2k.getCount() }, keyBytes);
  }
}
