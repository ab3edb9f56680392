import type { IHasher } from 'hash-wasm';
import type { Logger } from '../../shared/io/logger.ts';

/**
 * SHA-256 whose half-made state is plain bytes that can be kept and gone on from by another process, which the one of
 * Node.js does not give; it takes five times the processor time of that one. Where the bytes until then are a multiple of
 * 64, a state has none of them in it, only what was computed from them.
 */
export class ResumableSha256 {
  /** Of this object alone, and every use of it begins with a `load`: so uses may take turns. */
  readonly #hasher: IHasher;

  constructor(hasher: IHasher) {
    this.#hasher = hasher;
  }

  /** The state before any byte. */
  begin(): Uint8Array {
    return this.#hasher.init().save();
  }

  /** Whether it can go on from that state: not from one of another version of the library. */
  accepts(state: Uint8Array): boolean {
    try {
      this.#hasher.load(state);
      return true;
    } catch {
      return false;
    }
  }

  /** The state behind these bytes. `state` must be accepted. */
  add(state: Uint8Array, bytes: Uint8Array): Uint8Array {
    return this.#hasher.load(state).update(bytes).save();
  }

  digest(state: Uint8Array): Buffer {
    return Buffer.from(this.#hasher.load(state).digest('binary'));
  }
}

let loaded: Promise<ResumableSha256> | null = null;

let isToldOf = false;

/**
 * Loaded when it is first needed, since it takes 2 MB of memory and most stores have no file that needs it. Null where
 * there is no memory for it, or it cannot run: the log tells of the first time, and the next call tries again.
 */
export async function resumableSha256(logger: Logger): Promise<ResumableSha256 | null> {
  const loading = (loaded ??= load());
  try {
    return await loading;
  } catch (error) {
    if (loaded === loading) loaded = null;
    if (!isToldOf)
      logger.warn(
        { err: error },
        'long files are read in one go: the hash that can be kept is not to be had',
      );
    isToldOf = true;
    return null;
  }
}

async function load(): Promise<ResumableSha256> {
  const { createSHA256 } = await import('hash-wasm');
  return new ResumableSha256(await createSHA256());
}
