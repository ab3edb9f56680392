import type { Announcements } from './announcements.ts';
import type { CachedStatements } from './cached-statements.ts';
import type { ReceiverFacts } from './known-packs.ts';
import { objectColumns, type SealedObject } from './sealed-object.ts';

/** What seal.db knows of a folder's receivers: how far each came, and what it lacks of that. */
export class Confirmations {
  readonly #sql: CachedStatements;
  readonly #announcements: Announcements;
  readonly #folderId: number;

  constructor(sql: CachedStatements, announcements: Announcements, folderId: number) {
    this.#sql = sql;
    this.#announcements = announcements;
    this.#folderId = folderId;
  }

  receivers(): ReceiverFacts[] {
    type Row = { receiver: string; sequence: number; last_seen_at: number; passed_over: 0 | 1 };
    return this.#sql.all<Row>('SELECT * FROM receivers WHERE folder = ?', this.#folderId).map((row) => ({
      receiverId: row.receiver,
      durableSequence: row.sequence,
      lastSeenAt: row.last_seen_at,
      passedOver: row.passed_over === 1,
    }));
  }

  /** Durable when it returns. */
  save(receivers: Iterable<ReceiverFacts>): void {
    this.#sql.transaction(() => {
      for (const { receiverId, durableSequence, lastSeenAt, passedOver } of receivers) {
        this.#sql.run(
          'INSERT OR REPLACE INTO receivers (folder, receiver, sequence, last_seen_at, passed_over) VALUES (?, ?, ?, ?, ?)',
          this.#folderId,
          receiverId,
          durableSequence,
          lastSeenAt,
          passedOver ? 1 : 0,
        );
      }
    });
  }

  forget(receiverId: string): void {
    this.#sql.transaction(() => {
      this.#sql.run('DELETE FROM receivers WHERE folder = ? AND receiver = ?', this.#folderId, receiverId);
      this.#sql.run(
        'DELETE FROM lacking WHERE receiver = ? AND object IN (SELECT id FROM objects WHERE folder = ?)',
        receiverId,
        this.#folderId,
      );
    });
  }

  /** In a new index no receiver has acknowledged anything. */
  restart(): void {
    this.#sql.run('UPDATE receivers SET sequence = 0 WHERE folder = ?', this.#folderId);
  }

  /** By object, the receivers that do not hold it although their acknowledged sequence is behind it. */
  lacking(): ReadonlyMap<number, ReadonlySet<string>> {
    const sets = new Map<number, Set<string>>();
    const rows = this.#sql.all<{ object: number; receiver: string }>(
      'SELECT object, receiver FROM lacking JOIN objects ON objects.id = lacking.object WHERE folder = ?',
      this.#folderId,
    );
    for (const { object, receiver } of rows) {
      const set = sets.get(object) ?? new Set();
      set.add(receiver);
      sets.set(object, set);
    }
    return sets;
  }

  /**
   * The object has left the spool: whoever has not acknowledged it lacks it from here on. A receiver that will never
   * get the record which names a pack keeps the pack for the time of the lease only, and so counts as lacking it.
   */
  noteLeaving(object: SealedObject, receivers: readonly ReceiverFacts[]): void {
    for (const { receiverId, durableSequence } of receivers) {
      if (object.sequence > durableSequence) this.#lack(object.id, receiverId);
    }
    const named = object.kind === 'version' ? object.sequence : object.named_sequence;
    if (named === null) return;
    for (const { receiverId, durableSequence } of receivers) {
      if (named > durableSequence) this.#lackUnnamed(receiverId, durableSequence);
    }
  }

  /** The receiver begins at `sequence`: what left the spool later than that never reached it. */
  noteBeginning(receiverId: string, sequence: number): void {
    this.#sql.run(
      `INSERT OR IGNORE INTO lacking (object, receiver)
       SELECT id, ? FROM objects WHERE folder = ? AND in_spool = 0 AND sequence > ?`,
      receiverId,
      this.#folderId,
      sequence,
    );
    this.#lackUnnamed(receiverId, sequence);
  }

  /**
   * The receiver, which acknowledged `durableSequence`, does not hold these objects. Those in the spool are announced
   * again; true where any was.
   */
  noteMissing(receiverId: string, durableSequence: number, hashes: readonly Buffer[]): boolean {
    return this.#sql.transaction(() => {
      let announced = false;
      for (const hash of hashes) {
        const object = this.#sql.get<SealedObject>(
          `SELECT ${objectColumns} WHERE folder = ? AND hash = ?`,
          this.#folderId,
          hash,
        );
        if (object === null) continue;
        if (object.in_spool === 0) {
          this.#lack(object.id, receiverId);
          continue;
        }
        // what lies ahead of it comes anyway
        if (object.sequence > durableSequence) continue;
        announced = true;
        const sequence = this.#announcements.take(object.name, hash, true);
        this.#sql.run(
          'UPDATE objects SET replaces = sequence, sequence = ? WHERE id = ?',
          sequence,
          object.id,
        );
        this.#sql.run('DELETE FROM lacking WHERE object = ? AND receiver = ?', object.id, receiverId);
      }
      return announced;
    });
  }

  /** Whether the receiver, which acknowledged `durableSequence`, lacks a pack that the latest version uses. */
  lacksUsed(receiverId: string, durableSequence: number): boolean {
    const row = this.#sql.get<{ count: number }>(
      `SELECT count(*) AS count FROM objects WHERE folder = ? AND used_bytes > 0
       AND (sequence > ? OR EXISTS (SELECT 1 FROM lacking WHERE object = objects.id AND receiver = ?))`,
      this.#folderId,
      durableSequence,
      receiverId,
    );
    return (row?.count ?? 0) > 0;
  }

  /** Packs out of the spool whose first record lies behind `sequence` and has left the spool as well. */
  #lackUnnamed(receiverId: string, sequence: number): void {
    this.#sql.run(
      `INSERT OR IGNORE INTO lacking (object, receiver)
       SELECT id, ? FROM objects AS pack WHERE folder = ? AND kind = 'pack' AND in_spool = 0 AND named_sequence > ?
       AND NOT EXISTS (SELECT 1 FROM objects AS record WHERE record.folder = pack.folder AND record.kind = 'version'
         AND record.in_spool = 1 AND record.sequence = pack.named_sequence)`,
      receiverId,
      this.#folderId,
      sequence,
    );
  }

  #lack(objectId: number, receiverId: string): void {
    this.#sql.run('INSERT OR IGNORE INTO lacking (object, receiver) VALUES (?, ?)', objectId, receiverId);
  }
}
