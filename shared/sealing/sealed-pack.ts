import { createHash } from 'node:crypto';

/** A sealed object: `bytes` are one binary OpenPGP message, `hash` their SHA-256, which names it. */
export type SealedPack = { hash: Buffer; bytes: Buffer };

/** The message with its name. */
export function nameSealed(bytes: Buffer): SealedPack {
  return { hash: createHash('sha256').update(bytes).digest(), bytes };
}
