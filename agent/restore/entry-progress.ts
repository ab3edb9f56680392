import { describeDuration } from '../../shared/cli/duration.ts';

/** Entries that took so long are told with their time, whatever they are. */
const slowMs = 1000;
/** After so long without a word, what is going on is said again. */
const quietMsMax = 60_000;

type Deps = { note: (line: string) => void; now?: () => number };

/**
 * What `pg_restore --verbose` says, as progress by entry of the archive's table of contents: data, indexes and keys by
 * name, with the time that each took.
 */
export class EntryProgress {
  readonly #note: (line: string) => void;
  readonly #now: () => number;
  readonly #total: number;
  readonly #begun = new Map<string, number>();
  /** Several connections at once: it tells when each entry begins and ends, and workers put in words of their own. */
  #parallel = false;
  #foreignKeys = false;
  #done = 0;
  #saidAt: number;

  constructor({ note, now = () => performance.now() }: Deps, total: number) {
    this.#note = note;
    this.#now = now;
    this.#total = total;
    this.#saidAt = now();
  }

  /** Takes a line of its standard error. */
  take(line: string): void {
    if (line === 'pg_restore: entering main parallel loop') {
      this.#finishAll();
      this.#parallel = true;
    } else if (line === 'pg_restore: finished main parallel loop') {
      this.#finishAll();
      this.#parallel = false;
    } else if (this.#parallel) {
      const { what, name = '' } =
        /^pg_restore: (?<what>launching|finished) item \d+ (?<name>.+)$/.exec(line)?.groups ?? {};
      if (what === 'launching') this.#begin(name);
      else if (what === 'finished') this.#finish(name);
    } else {
      const { name, table } =
        /^pg_restore: (?:(?:creating|executing) (?<name>.+)|processing data for table (?<table>.+))$/.exec(
          line,
        )?.groups ?? {};
      if (name === undefined && table === undefined) return;
      this.#finishAll();
      this.#begin(name ?? `TABLE DATA ${table}`);
    }
  }

  /** To be called every few seconds: says what is going on when nothing was said for a minute. */
  remind(): void {
    if (this.#now() - this.#saidAt < quietMsMax) return;
    for (const [name, begunAt] of this.#begun) {
      this.#say(`still at ${name}, for ${describeDuration(this.#now() - begunAt)}`);
    }
  }

  #begin(name: string): void {
    this.#begun.set(name, this.#now());
    if (this.#foreignKeys || !name.startsWith('FK CONSTRAINT ')) return;
    this.#foreignKeys = true;
    this.#say(
      'foreign keys are being checked: a long quiet phase is normal now, large tables are read whole',
    );
  }

  #finishAll(): void {
    for (const name of this.#begun.keys()) this.#finish(name);
  }

  #finish(name: string): void {
    const begunAt = this.#begun.get(name) ?? this.#now();
    this.#begun.delete(name);
    this.#done += 1;
    const tookMs = this.#now() - begunAt;
    if (tookMs < slowMs && !takesTime(name)) return;
    this.#say(`[${this.#done}/${Math.max(this.#done, this.#total)}] ${name}, ${describeDuration(tookMs)}`);
  }

  #say(line: string): void {
    this.#saidAt = this.#now();
    this.#note(line);
  }
}

function takesTime(name: string): boolean {
  return /^(?:TABLE DATA|INDEX|CONSTRAINT|FK CONSTRAINT|MATERIALIZED VIEW DATA) /.test(name);
}
