import type { PlannedFile } from './restore-plan.ts';

type Part = { at: number; offset: number; length: number };

/** The parts of one pack that one file needs: `length` bytes from `offset` in the pack's chunks, at `at` in the file. */
export type PackUse = { file: PlannedFile; parts: Part[] };

/** Which parts of which pack go where, held as plain numbers: a large dump has millions of them. */
export class PackUses {
  readonly #files: PlannedFile[] = [];
  readonly #numbers = new Map<PlannedFile, number>();
  /** Of each pack: number of the file, at, offset, length, and so on. */
  readonly #uses = new Map<string, number[]>();

  /** All of one file come before those of the next. */
  add(pack: string, { file, at, offset, length }: Part & { file: PlannedFile }): void {
    let number = this.#numbers.get(file);
    if (number === undefined) {
      number = this.#files.push(file) - 1;
      this.#numbers.set(file, number);
    }
    const uses = this.#uses.get(pack);
    if (uses === undefined) this.#uses.set(pack, [number, at, offset, length]);
    else uses.push(number, at, offset, length);
  }

  /** In the order in which files need them first. */
  packs(): string[] {
    return [...this.#uses.keys()];
  }

  /** What the pack gives to each file, in the order of the files. */
  *of(pack: string): Generator<PackUse> {
    const uses = this.#uses.get(pack) ?? [];
    for (let index = 0; index < uses.length;) {
      const number = uses[index];
      const file = this.#files[number ?? -1];
      if (file === undefined) return;
      const parts: Part[] = [];
      for (; uses[index] === number && index < uses.length; index += 4) {
        const [at = 0, offset = 0, length = 0] = uses.slice(index + 1, index + 4);
        parts.push({ at, offset, length });
      }
      yield { file, parts };
    }
  }
}
