import { displayPath, type RelativePath } from '../../shared/records/relative-path.ts';

const pathsReportedMax = 20;

/** What the last full scan of a folder could not read, and how many sockets, FIFOs and devices it left out. */
export class LastScan {
  #unreadable: ReadonlySet<RelativePath> = new Set();
  #specials = 0;

  /** Some of the paths as text. */
  get condition(): { unreadable: number; unreadablePaths: string[]; skippedSpecial: number } {
    return {
      unreadable: this.#unreadable.size,
      unreadablePaths: display([...this.#unreadable]),
      skippedSpecial: this.#specials,
    };
  }

  /** A scan has ended. Gives what the one before could read; null when there is nothing of that. */
  replace(scan: {
    unreadable: ReadonlySet<RelativePath>;
    specials: number;
  }): { count: number; paths: string[] } | null {
    const fresh = [...scan.unreadable].filter((path) => !this.#unreadable.has(path));
    this.#unreadable = scan.unreadable;
    this.#specials = scan.specials;
    return fresh.length === 0 ? null : { count: fresh.length, paths: display(fresh) };
  }
}

function display(paths: readonly RelativePath[]): string[] {
  return paths.slice(0, pathsReportedMax).map((path) => displayPath(path));
}
