import type { IHasher } from 'hash-wasm';

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

/** Loaded when it is first needed, since it takes 2 MB of memory and most stores have no file that needs it. */
export function resumableSha256(): Promise<ResumableSha256> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<ResumableSha256> {
  const { createSHA256 } = await import('hash-wasm');
  return new ResumableSha256(await createSHA256());
}
