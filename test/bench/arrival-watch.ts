import type Database from 'better-sqlite3';
import { baseName, parentPath, parseRelativePath } from '../../shared/records/relative-path.ts';
import { directoryKey } from '../../agent/index/index-row.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';

/** `closedAt`, `indexedAt`, `durableAt`: by performance.now(). */
export type Arrival = { path: string; closedAt: number; indexedAt: number; durableAt: number };

type Waiting = {
  path: string;
  mtimeNs: bigint;
  closedAt: number;
  indexedAt: number | null;
  arrived: (arrival: Arrival) => void;
};

const lookEveryMs = 5;

/**
 * Tells when files of a mirror folder are in the agent's index and when they are durable on the receiver, by looking at the
 * two databases. The receiver commits its own behind content, names, directories and journal, each synced, and a commit is
 * seen by others only once it is synced itself: what is seen there is what an acknowledgement follows at once. Times are late
 * by up to 5 ms, and by what this process has to wait for a processor.
 */
export class ArrivalWatch {
  readonly #indexed: Side;
  readonly #durable: Side;
  readonly #waiting = new Set<Waiting>();
  readonly #timer: NodeJS.Timeout;

  constructor(files: { agentIndex: string; receiverDatabase: string }, folder: string) {
    this.#indexed = new Side(
      files.agentIndex,
      `SELECT mtime_ns FROM records WHERE folder = (SELECT id FROM folders WHERE name = '${folder}')
       AND parent = ? AND name = ?`,
      (path) => {
        const relative = parseRelativePath(Buffer.from(path));
        return [directoryKey(parentPath(relative) ?? ''), Buffer.from(baseName(relative), 'latin1')];
      },
    );
    this.#durable = new Side(files.receiverDatabase, 'SELECT mtime_ns FROM live WHERE path = ?', (path) => [
      Buffer.from(path),
    ]);
    this.#timer = setInterval(() => this.#look(), lookEveryMs);
  }

  /** Resolves when the file, as it was left at `closedAt`, is durable. */
  async arrival(path: string, mtimeNs: bigint, closedAt: number): Promise<Arrival> {
    return await new Promise((arrived) => {
      this.#waiting.add({ path, mtimeNs, closedAt, indexedAt: null, arrived });
    });
  }

  close(): void {
    clearInterval(this.#timer);
    this.#indexed.close();
    this.#durable.close();
  }

  #look(): void {
    const now = performance.now();
    if (this.#indexed.hasChanged()) {
      for (const file of this.#waiting)
        if (file.indexedAt === null && this.#indexed.has(file)) file.indexedAt = now;
    }
    if (!this.#durable.hasChanged()) return;
    for (const file of this.#waiting) {
      if (!this.#durable.has(file)) continue;
      const { path, closedAt, indexedAt } = file;
      this.#waiting.delete(file);
      file.arrived({ path, closedAt, indexedAt: indexedAt ?? now, durableAt: now });
    }
  }
}

/** One of the two databases. */
class Side {
  readonly #database: Database.Database;
  readonly #row: Database.Statement<Buffer[], { mtime_ns: bigint }>;
  readonly #key: (path: string) => Buffer[];
  #version = -1;

  constructor(file: string, sql: string, key: (path: string) => Buffer[]) {
    this.#database = openDatabase(file, { readonly: true });
    this.#row = this.#database.prepare<Buffer[], { mtime_ns: bigint }>(sql).safeIntegers(true);
    this.#key = key;
  }

  hasChanged(): boolean {
    const version = Number(this.#database.pragma('data_version', { simple: true }));
    const changed = version !== this.#version;
    this.#version = version;
    return changed;
  }

  has({ path, mtimeNs }: Waiting): boolean {
    return this.#row.get(...this.#key(path))?.mtime_ns === mtimeNs;
  }

  close(): void {
    this.#database.close();
  }
}
