/** An agent may announce packs without end and never send them; those that were announced first are forgotten then. */
export const unneededPacksMax = 150_000;

/**
 * Which packs of a sealed store are not there though they were announced or a held version needs them, and which
 * versions lack something because of that. Packs are their hash, hexadecimal; versions are keys of the caller's choice.
 */
export class LackingPacks {
  readonly #neededBy = new Map<string, Set<string>>();
  readonly #unneeded = new Set<string>();
  readonly #unreadable = new Set<string>();

  has(pack: string): boolean {
    return this.#neededBy.has(pack) || this.#unneeded.has(pack);
  }

  /** Those that versions need first. */
  all(): string[] {
    return [...this.#neededBy.keys(), ...this.#unneeded];
  }

  isNeeded(pack: string): boolean {
    return this.#neededBy.has(pack);
  }

  /** Versions that lack a pack, or whose record cannot be read. */
  incomplete(): Set<string> {
    const incomplete = new Set(this.#unreadable);
    for (const versions of this.#neededBy.values()) for (const version of versions) incomplete.add(version);
    return incomplete;
  }

  /** It is not there, and no held version needs it. */
  noteUnneeded(pack: string): void {
    if (this.#neededBy.has(pack)) return;
    this.#unneeded.add(pack);
    if (this.#unneeded.size <= unneededPacksMax) return;
    for (const oldest of this.#unneeded) {
      this.#unneeded.delete(oldest);
      return;
    }
  }

  /** It is not there, and the version needs it. */
  noteNeeded(pack: string, version: string): void {
    this.#unneeded.delete(pack);
    const versions = this.#neededBy.get(pack) ?? new Set();
    this.#neededBy.set(pack, versions.add(version));
  }

  /** Nobody can say what the version needs. */
  noteUnreadable(version: string): void {
    this.#unreadable.add(version);
  }

  noteReadable(version: string): void {
    this.#unreadable.delete(version);
  }

  /** The version is not held any more; what it alone lacked is as if it had only been announced. */
  forgetVersion(version: string): void {
    this.#unreadable.delete(version);
    for (const [pack, versions] of this.#neededBy) {
      if (!versions.delete(version) || versions.size > 0) continue;
      this.#neededBy.delete(pack);
      this.noteUnneeded(pack);
    }
  }

  noteArrival(pack: string): void {
    this.#neededBy.delete(pack);
    this.#unneeded.delete(pack);
  }
}
