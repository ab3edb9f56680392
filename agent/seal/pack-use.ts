import type { Extent } from '../../shared/sealing/extents.ts';
import type { SealedObjects } from './sealed-objects.ts';

/** Names packs by their hashes and sums up how much of each a version uses. */
export class PackUse {
  /** Plaintext bytes by pack. */
  readonly used = new Map<number, number>();
  readonly #objects: SealedObjects;
  readonly #packs = new Map<number, { hash: string; bytes: number }>();

  constructor(objects: SealedObjects) {
    this.#objects = objects;
  }

  /** The packs of these extents, each once. The packs must be in the database. */
  names(flat: Float64Array): Set<string> {
    const names = new Set<string>();
    for (let at = 0; at < flat.length; at += 3) names.add(this.#pack(flat[at] as number).hash);
    return names;
  }

  /** The extents with the names of their packs; they count as used. */
  extents(flat: Float64Array): Extent<string>[] {
    const extents: Extent<string>[] = [];
    for (let at = 0; at < flat.length; at += 3) {
      const [id = 0, offset = 0, length = 0] = flat.subarray(at, at + 3);
      this.used.set(id, (this.used.get(id) ?? 0) + length);
      extents.push({ pack: this.#pack(id).hash, offset, length });
    }
    return extents;
  }

  /** Every pack that was named, with the size of its file. */
  sizes(): [string, number][] {
    return [...this.#packs.values()].map(({ hash, bytes }) => [hash, bytes]);
  }

  #pack(id: number): { hash: string; bytes: number } {
    let pack = this.#packs.get(id);
    if (pack === undefined) {
      const object = this.#objects.byId(id);
      if (object === null) throw new Error(`pack ${id} is not in the database`);
      pack = { hash: object.hash.toString('hex'), bytes: object.bytes };
      this.#packs.set(id, pack);
    }
    return pack;
  }
}
