import { packName } from '../../shared/sealing/object-name.ts';
import type { Announcements } from './announcements.ts';
import type { CachedStatements } from './cached-statements.ts';
import type { ChunkIndex } from './chunk-index.ts';
import type { Confirmations } from './confirmations.ts';
import type { PackFacts, ReceiverFacts } from './known-packs.ts';
import { objectColumns, type NewObject, type SealedObject } from './sealed-object.ts';
import type { SpooledObject } from './spool-policy.ts';

type Deps = {
  sql: CachedStatements;
  chunks: ChunkIndex;
  announcements: Announcements;
  confirmations: Confirmations;
};

const nobody: ReadonlySet<string> = new Set();

/** What seal.db knows of a folder's packs, root messages, version records and signatures. */
export class SealedObjects {
  readonly #deps: Deps;
  readonly #sql: CachedStatements;
  readonly #folderId: number;

  constructor(deps: Deps, folderId: number) {
    this.#deps = deps;
    this.#sql = deps.sql;
    this.#folderId = folderId;
  }

  nextId(): number {
    return (this.#sql.get<{ id: number | null }>('SELECT max(id) AS id FROM objects')?.id ?? 0) + 1;
  }

  /** It is in the spool; announced from here on. Gives its id. */
  add(epoch: number, object: NewObject, nowMs: number, checkpoint: boolean): number {
    const sequence = this.#deps.announcements.take(object.name, object.hash, checkpoint);
    const { lastInsertRowid } = this.#sql.run(
      `INSERT INTO objects (id, folder, epoch, kind, name, hash, bytes, plain_bytes, sequence, created_at, in_spool, chunk_list)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)`,
      object.id,
      this.#folderId,
      epoch,
      object.kind,
      object.name,
      object.hash,
      object.bytes,
      object.plainBytes,
      sequence,
      nowMs,
      object.chunkList,
    );
    return Number(lastInsertRowid);
  }

  byId(id: number): SealedObject | null {
    return this.#sql.get<SealedObject>(`SELECT ${objectColumns} WHERE id = ?`, id);
  }

  /** Packs of an epoch that the latest version uses or that were sealed since: no other has chunks that can be found. */
  packs(epoch: number): PackFacts[] {
    const lacking = this.#deps.confirmations.lacking();
    return this.#sql
      .all<SealedObject>(
        `SELECT ${objectColumns} WHERE folder = ? AND epoch = ? AND kind = 'pack'
         AND (used_bytes > 0 OR sequence > (SELECT coalesce(max(sequence), 0) FROM versions WHERE folder = ?))
         ORDER BY id`,
        this.#folderId,
        epoch,
        this.#folderId,
      )
      .map((row) => ({
        id: row.id,
        plainBytes: row.plain_bytes,
        usedBytes: row.used_bytes,
        createdAt: row.created_at,
        inSpool: row.in_spool === 1,
        sequence: row.sequence,
        namedSequence: row.named_sequence,
        lackedBy: lacking.get(row.id) ?? nobody,
      }));
  }

  /** Whether the latest version refers to that pack. */
  usesPack(hash: Buffer): boolean {
    const row = this.#sql.get<{ used_bytes: number }>(
      'SELECT used_bytes FROM objects WHERE folder = ? AND name = ?',
      this.#folderId,
      packName(hash),
    );
    return (row?.used_bytes ?? 0) > 0;
  }

  /** The packs that the latest version uses, and their sealed sizes together. */
  usedTotals(): { packs: number; bytes: number } {
    return this.#sql.get<{ packs: number; bytes: number }>(
      'SELECT count(*) AS packs, coalesce(sum(bytes), 0) AS bytes FROM objects WHERE folder = ? AND used_bytes > 0',
      this.#folderId,
    ) as { packs: number; bytes: number };
  }

  spooled(): (SealedObject & SpooledObject)[] {
    const lacking = this.#deps.confirmations.lacking();
    return this.#sql
      .all<SealedObject>(
        `SELECT ${objectColumns} WHERE folder = ? AND in_spool = 1 ORDER BY sequence`,
        this.#folderId,
      )
      .map((row) =>
        Object.assign(row, {
          createdAt: row.created_at,
          namedSequence: row.named_sequence,
          lackedBy: lacking.get(row.id) ?? nobody,
        }),
      );
  }

  spooledAfter(sequence: number, limit: number): SealedObject[] {
    return this.#sql.all<SealedObject>(
      `SELECT ${objectColumns} WHERE folder = ? AND in_spool = 1 AND sequence > ? ORDER BY sequence LIMIT ?`,
      this.#folderId,
      sequence,
      limit,
    );
  }

  spooledNamed(name: string): SealedObject | null {
    return this.#sql.get<SealedObject>(
      `SELECT ${objectColumns} WHERE folder = ? AND name = ? AND in_spool = 1`,
      this.#folderId,
      name,
    );
  }

  pendingAfter(sequence: number): { files: number; bytes: number } {
    return this.#sql.get<{ files: number; bytes: number }>(
      'SELECT count(*) AS files, coalesce(sum(bytes), 0) AS bytes FROM objects WHERE folder = ? AND in_spool = 1 AND sequence > ?',
      this.#folderId,
      sequence,
    ) as { files: number; bytes: number };
  }

  /** Those in the spool that no version names and none will: what a dump sealed that did not come to its end. */
  abandoned(): number[] {
    return this.#sql
      .all<{ id: number }>(
        `SELECT id FROM objects WHERE folder = ? AND in_spool = 1 AND named_sequence IS NULL AND kind IN ('pack', 'root')
         AND sequence < (SELECT coalesce(max(sequence), 0) FROM versions WHERE folder = ?)`,
        this.#folderId,
        this.#folderId,
      )
      .map(({ id }) => id);
  }

  chunkList(hash: Buffer): Buffer | null {
    const row = this.#sql.get<{ chunk_list: Buffer | null }>(
      'SELECT chunk_list FROM objects WHERE folder = ? AND hash = ? AND in_spool = 1',
      this.#folderId,
      hash,
    );
    return row?.chunk_list ?? null;
  }

  /**
   * A version was made whose record has that sequence: it refers to so many plaintext bytes of these packs, by id, and
   * to nothing of any other.
   */
  setUsed(used: ReadonlyMap<number, number>, rootHash: Buffer, sequence: number): void {
    this.#sql.run('UPDATE objects SET used_bytes = 0 WHERE folder = ? AND used_bytes > 0', this.#folderId);
    for (const [id, bytes] of used) {
      this.#sql.run(
        'UPDATE objects SET used_bytes = ?, named_sequence = coalesce(named_sequence, ?) WHERE id = ?',
        bytes,
        sequence,
        id,
      );
    }
    this.#sql.run(
      `UPDATE objects SET named_sequence = ? WHERE folder = ? AND named_sequence IS NULL
       AND (hash = ? OR kind IN ('version', 'signature'))`,
      sequence,
      this.#folderId,
      rootHash,
    );
    this.#deps.chunks.drop(
      "SELECT id FROM objects WHERE folder = ? AND kind = 'pack' AND used_bytes = 0",
      this.#folderId,
    );
    this.#dropUnneeded();
  }

  /** Nothing of what is there is referred to again. */
  disown(): void {
    this.#deps.chunks.drop('SELECT id FROM objects WHERE folder = ?', this.#folderId);
    this.#sql.run('UPDATE objects SET used_bytes = 0 WHERE folder = ?', this.#folderId);
    this.#sql.run('DELETE FROM objects WHERE folder = ? AND in_spool = 0', this.#folderId);
  }

  /** Out of the spool for good; a receiver that has not acknowledged one of them lacks it from here on. */
  leaveSpool(ids: readonly number[], receivers: readonly ReceiverFacts[]): void {
    this.#sql.transaction(() => {
      for (const id of ids) {
        const object = this.byId(id);
        if (object === null) continue;
        this.#sql.run('UPDATE objects SET in_spool = 0, chunk_list = NULL WHERE id = ?', id);
        this.#deps.confirmations.noteLeaving(object, receivers);
      }
      this.#dropUnneeded();
    });
  }

  /** Objects that are neither in the spool nor of use to a later version. */
  #dropUnneeded(): void {
    const unneeded = `folder = ? AND in_spool = 0 AND used_bytes = 0
      AND (kind <> 'pack' OR sequence < (SELECT coalesce(max(sequence), 0) FROM versions WHERE folder = ?))`;
    this.#deps.chunks.drop(`SELECT id FROM objects WHERE ${unneeded}`, this.#folderId, this.#folderId);
    this.#sql.run(`DELETE FROM objects WHERE ${unneeded}`, this.#folderId, this.#folderId);
  }
}
