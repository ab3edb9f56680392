import { hash, randomBytes } from 'node:crypto';

const chunkSecretBytes = 32;
export const chunkIdBytes = 16;

/** A new secret for an epoch's chunk ids. It never leaves the agent. */
export function generateChunkSecret(): Buffer {
  return randomBytes(chunkSecretBytes);
}

const [blockBytes, digestBytes] = [64, 32];
const [innerPad, outerPad] = [0x36, 0x5c];

/**
 * Names chunks by the first 16 bytes of HMAC-SHA-256(secret, chunk): equal chunks have equal ids within an epoch, and
 * nobody without the secret can tell from an id what a chunk holds. Two one-shot hashes over blocks that are laid
 * out once: creating an `Hmac` object for each chunk of 4 KiB takes five times as long as the hashing itself.
 */
export class ChunkNamer {
  readonly #inner: Buffer;
  readonly #outer: Buffer;

  /** `secret`: at most 64 bytes. `chunkBytesMax`: of the longest chunk. */
  constructor(secret: Uint8Array, chunkBytesMax: number) {
    if (secret.length > blockBytes) throw new RangeError(`a secret of ${secret.length} bytes`);
    this.#inner = Buffer.allocUnsafeSlow(blockBytes + chunkBytesMax).fill(innerPad, 0, blockBytes);
    this.#outer = Buffer.allocUnsafeSlow(blockBytes + digestBytes).fill(outerPad, 0, blockBytes);
    for (const [at, byte] of secret.entries()) {
      this.#inner[at] = byte ^ innerPad;
      this.#outer[at] = byte ^ outerPad;
    }
  }

  /** The chunk's id as latin1 text: `chunkIdBytes` characters. */
  name(chunk: Uint8Array): string {
    this.#inner.set(chunk, blockBytes);
    const inner = hash('sha256', this.#inner.subarray(0, blockBytes + chunk.length), 'binary');
    this.#outer.write(inner, blockBytes, 'latin1');
    return hash('sha256', this.#outer, 'binary').slice(0, chunkIdBytes);
  }
}
