/** Random numbers that are the same for the same seed, on every machine (splitmix-seeded xoshiro128**). */
export class SeededRandom {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number, stream = '') {
    let state = seed | 0;
    for (const character of stream) state = (Math.imul(state, 31) + character.charCodeAt(0)) | 0;
    const next = () => {
      state = (state + 0x9e3779b9) | 0;
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return mixed ^ (mixed >>> 15);
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next();
  }

  /** 32 bits. */
  bits(): number {
    const product = Math.imul(this.#b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** In [0, 1). */
  unit(): number {
    return this.bits() / 2 ** 32;
  }

  below(bound: number): number {
    return Math.floor(this.unit() * bound);
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }

  /** Zipf-like in [0, bound): small numbers are by far the most frequent. */
  zipf(bound: number): number {
    return Math.min(bound - 1, Math.floor(Math.exp(this.unit() * Math.log(bound + 1))) - 1);
  }

  hex(bytes: number): string {
    let text = '';
    while (text.length < bytes * 2) text += this.bits().toString(16).padStart(8, '0');
    return text.slice(0, bytes * 2);
  }

  bytes(count: number): Buffer {
    return Buffer.from(this.hex(count), 'hex');
  }
}
