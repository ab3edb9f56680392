import { createHmac, randomBytes } from 'node:crypto';

const chunkSecretBytes = 32;
export const chunkIdBytes = 16;

/** A new secret for an epoch's chunk ids. It never leaves the agent. */
export function generateChunkSecret(): Buffer {
  return randomBytes(chunkSecretBytes);
}

/**
 * The first 16 bytes of HMAC-SHA-256(secret, chunk): equal chunks have equal ids within an epoch, and nobody without
 * the secret can tell from an id what a chunk holds.
 */
export function chunkId(secret: Uint8Array, chunk: Uint8Array): Buffer {
  return createHmac('sha256', secret).update(chunk).digest().subarray(0, chunkIdBytes);
}
